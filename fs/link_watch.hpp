// The host's links and addresses, as the kernel tells them over netlink (rtnetlink(7), thesis 4.7.1), by libnl-route.
//
// A message is only the hint that something has changed: what there is then is read anew, so that a lost one does no
// harm. What has not changed nobody is told of.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
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
/// Of one interface so many addresses are given to others, the global ones first.
inline constexpr std::size_t max_addresses_of_an_interface = 8;

struct LinkAddress {
  boost::asio::ip::address address;
  unsigned prefix_bits = 0;  // others with these first bits are on the same link

  friend bool operator==(const LinkAddress&, const LinkAddress&) = default;
};

struct Link {
  Interface interface;  // cellular ones count as metered: no source tells it for all others
  unsigned index = 0;
  std::vector<LinkAddress> addresses;  // that can be used; those others can reach come first
  bool default_route = false;

  friend bool operator==(const Link&, const Link&) = default;
};

class LinkWatch {
 public:
  /// `on_change` is called after links() has changed, from the loop. Throws std::runtime_error without netlink.
  LinkWatch(boost::asio::io_context& io, std::function<void()> on_change);
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  /// Ordered by index.
  [[nodiscard]] const std::vector<Link>& links() const { return links_; }
  [[nodiscard]] std::vector<Interface> interfaces() const;
  /// Where others reach the named interfaces, in that order: no link-local addresses, loopback ones of loopback alone.
  [[nodiscard]] std::vector<boost::asio::ip::address> addresses(const std::vector<std::string>& names, bool ipv4,
                                                                bool ipv6) const;
  /// Whether `address` is on the link itself, with no router between.
  [[nodiscard]] bool is_near(const std::string& interface, const boost::asio::ip::address& address) const;
  /// The name of the link that has `address` (an IPv4 one as IPv6, too); nothing when none has.
  [[nodiscard]] std::optional<std::string> interface_of(const boost::asio::ip::address& address) const;
  /// A line for each link, for people.
  [[nodiscard]] std::vector<std::string> text() const;

 private:
  void wait();
  void read_later();
  void read();

  std::function<void()> on_change_;
  nl_sock* events_ = nullptr;
  nl_sock* questions_ = nullptr;
  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer settle_;
  bool settling_ = false;
  std::chrono::steady_clock::time_point last_read_{};
  std::vector<Link> links_;
};

}  // namespace sessionfs::fs
