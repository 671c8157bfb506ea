// The host's links and addresses, as the kernel tells them over netlink (rtnetlink(7), thesis 4.7.1).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

struct nl_sock;

namespace sessionfs::fs {

/// Several events that come together are told as one, this much later.
inline constexpr int link_settle_ms = 20;

class Links {
 public:
  /// `on_change` is called after links or addresses have changed. Throws std::runtime_error without netlink.
  Links(boost::asio::io_context& io, std::function<void()> on_change);
  ~Links();
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  /// Addresses of links that are up and running, global ones first; loopback only when there is nothing else.
  [[nodiscard]] std::vector<boost::asio::ip::address> addresses() const;
  /// All addresses of this host, loopback too.
  [[nodiscard]] std::vector<boost::asio::ip::address> all_addresses() const;
  /// The name of the link that has `address`; nothing when none has.
  [[nodiscard]] std::optional<std::string> interface_of(const boost::asio::ip::address& address) const;
  /// A line for each link with its addresses.
  [[nodiscard]] std::vector<std::string> interfaces() const;

 private:
  struct Entry {
    std::string link;
    boost::asio::ip::address address;
    bool running = false;
    bool loopback = false;
  };
  void wait();
  static std::vector<Entry> entries();

  nl_sock* socket_ = nullptr;
  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer settle_;
  bool settling_ = false;
  std::function<void()> on_change_;
};

}  // namespace sessionfs::fs
