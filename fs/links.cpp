#include "fs/links.hpp"

#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;

std::optional<asio::ip::address> address_of(const sockaddr* address) {
  if (address == nullptr) return std::nullopt;
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return asio::ip::address_v4(ntohl(v4->sin_addr.s_addr));
  }
  if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &v6->sin6_addr, bytes.size());
    return asio::ip::address_v6(bytes, v6->sin6_scope_id);
  }
  return std::nullopt;
}

bool is_link_local(const asio::ip::address& address) { return address.is_v6() && address.to_v6().is_link_local(); }

}  // namespace

Links::Links(asio::io_context& io, std::function<void()> on_change)
    : socket_(nl_socket_alloc()), descriptor_(io), settle_(io), on_change_(std::move(on_change)) {
  if (socket_ == nullptr) throw std::runtime_error("sessionfs: no memory for a netlink socket");
  nl_socket_disable_seq_check(socket_);
  if (nl_connect(socket_, NETLINK_ROUTE) < 0 ||
      nl_socket_add_memberships(socket_, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                                RTNLGRP_IPV6_ROUTE, 0) < 0) {
    nl_socket_free(socket_);
    throw std::runtime_error("sessionfs: the kernel's netlink cannot be reached");
  }
  nl_socket_set_nonblocking(socket_);
  descriptor_.assign(dup(nl_socket_get_fd(socket_)));
  wait();
}

Links::~Links() {
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  nl_socket_free(socket_);
}

void Links::wait() {
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;
    // What the messages say does not matter, nor whether some were lost: the state is read afresh.
    char buffer[16384];
    while (recv(descriptor_.native_handle(), buffer, sizeof(buffer), MSG_DONTWAIT) >= 0 || errno == ENOBUFS) {
    }
    if (!std::exchange(settling_, true)) {
      settle_.expires_after(std::chrono::milliseconds(link_settle_ms));
      settle_.async_wait([this](const boost::system::error_code& stopped) {
        if (stopped) return;
        settling_ = false;
        on_change_();
      });
    }
    wait();
  });
}

std::vector<Links::Entry> Links::entries() {
  std::vector<Entry> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    const auto address = address_of(entry->ifa_addr);
    if (!address) continue;
    const bool running = (entry->ifa_flags & IFF_UP) != 0 && (entry->ifa_flags & IFF_RUNNING) != 0;
    found.push_back({entry->ifa_name, *address, running, (entry->ifa_flags & IFF_LOOPBACK) != 0});
  }
  freeifaddrs(list);
  return found;
}

std::vector<asio::ip::address> Links::addresses() const {
  std::vector<asio::ip::address> usable;
  std::vector<asio::ip::address> loopback;
  for (const auto& entry : entries()) {
    if (!entry.running || is_link_local(entry.address)) continue;
    (entry.loopback ? loopback : usable).push_back(entry.address);
  }
  return usable.empty() ? loopback : usable;
}

std::vector<asio::ip::address> Links::all_addresses() const {
  const auto found = entries();
  std::vector<asio::ip::address> all(found.size());
  std::ranges::transform(found, all.begin(), &Entry::address);
  return all;
}

std::optional<std::string> Links::interface_of(const asio::ip::address& address) const {
  auto plain = address;
  if (plain.is_v6() && plain.to_v6().is_v4_mapped())
    plain = asio::ip::make_address_v4(asio::ip::v4_mapped, plain.to_v6());
  for (const auto& entry : entries())
    if (entry.address == plain) return entry.link;
  return std::nullopt;
}

std::vector<std::string> Links::interfaces() const {
  std::map<std::string, std::string> lines;
  for (const auto& entry : entries()) {
    auto& line = lines[entry.link];
    if (line.empty()) line = entry.link + (entry.running ? " up" : " down");
    line += " " + entry.address.to_string();
  }
  std::vector<std::string> text;
  text.reserve(lines.size());
  for (auto& [link, line] : lines) text.push_back(std::move(line));
  return text;
}

}  // namespace sessionfs::fs
