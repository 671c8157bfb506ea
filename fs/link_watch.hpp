// The host's links and addresses, as the kernel tells them over netlink (rtnetlink(7), thesis 4.7.1), by libnl-route.
//
// A message is only the hint that something has changed: what there is then is read anew, so that a lost one does no
// harm. What has not changed nobody is told of.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/interface.hpp"

struct nl_sock;

namespace sessionfs::fs {

/// Events that come together are told as one, this long after the first ...
inline constexpr std::chrono::milliseconds link_settle_ms{5};
/// ... and not sooner than this after those before.
inline constexpr std::chrono::milliseconds link_pause_ms{20};
/// When the kernel could not be asked, it is asked again after this.
inline constexpr std::chrono::milliseconds link_retry_ms{500};
/// Of one interface so many addresses of each family are given to others.
inline constexpr std::size_t max_addresses_of_a_family = 4;

struct LinkAddress {
  boost::asio::ip::address address;
  unsigned prefix_bits = 0;  // others with these first bits are on the same link
  bool deprecated = false;   // what uses it may go on, nothing new should (RFC 4862, 5.5.4)

  friend bool operator==(const LinkAddress&, const LinkAddress&) = default;
};

struct Link {
  Interface interface;  // cellular ones count as metered: no source tells it for all others
  unsigned index = 0;
  std::vector<LinkAddress> addresses;  // that can be used; those others can reach come first
  // Of its default routes, in ascending order; unspecified: the route needs none. Empty: there is no default route.
  std::vector<boost::asio::ip::address> gateways;

  friend bool operator==(const Link&, const Link&) = default;
};

class LinkWatch {
 public:
  /// `on_change` is called after links() has changed, from the loop. Throws std::runtime_error without netlink or
  /// descriptors.
  LinkWatch(boost::asio::io_context& io, std::function<void()> on_change);
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  /// Ordered by index.
  [[nodiscard]] const std::vector<Link>& links() const { return links_; }
  [[nodiscard]] std::vector<Interface> interfaces() const;
  /// Where others reach the named interfaces, in that order: no deprecated and no link-local addresses, loopback ones
  /// of loopback alone.
  [[nodiscard]] std::vector<boost::asio::ip::address> addresses(const std::vector<std::string>& names, bool ipv4,
                                                                bool ipv6) const;
  /// The name of the link that has `address` (an IPv4 one as IPv6, too); nothing when none has.
  [[nodiscard]] std::optional<std::string> interface_of(const boost::asio::ip::address& address) const;
  /// A line for each link, for people.
  [[nodiscard]] std::vector<std::string> text() const;

  struct FreeSocket {
    void operator()(nl_sock* socket) const;
  };
  using Socket = std::unique_ptr<nl_sock, FreeSocket>;

 private:
  void wait();
  bool read_events();
  void read_later(std::chrono::milliseconds delay);
  void read();

  std::function<void()> on_change_;
  Socket events_;
  Socket questions_;
  boost::asio::ip::udp::socket ioctls_;  // for what netlink does not tell; kept, so that there is one at any time
  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer settle_;
  bool settling_ = false;
  std::chrono::steady_clock::time_point last_read_{};
  std::vector<Link> links_;
  std::shared_ptr<bool> ended_ = std::make_shared<bool>(false);  // for handlers that were on their way then
};

}  // namespace sessionfs::fs
