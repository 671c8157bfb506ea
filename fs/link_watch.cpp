#include "fs/link_watch.hpp"

#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/sockios.h>
#include <linux/wireless.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string_view>

#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;
using Address = asio::ip::address;

constexpr unsigned unusable_address = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
constexpr std::uint32_t default_table = RT_TABLE_MAIN;

struct FreeCache {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
using Cache = std::unique_ptr<nl_cache, FreeCache>;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

template <class Object, class Call>
void for_each(nl_cache* cache, Call call) {
  for (nl_object* at = nl_cache_get_first(cache); at != nullptr; at = nl_cache_get_next(at))
    call(reinterpret_cast<Object*>(at));
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

// Mbit/s by ethtool(8)'s interface; 0 when the driver does not tell. The first call asks how long the answer is.
std::uint32_t speed_of(int fd, const std::string& name) {
  constexpr std::size_t most_mask_bytes = 3 * 127 * sizeof(std::uint32_t);  // three masks of a signed byte's words
  alignas(ethtool_link_settings) std::array<std::byte, sizeof(ethtool_link_settings) + most_mask_bytes> answer{};
  auto& settings = *reinterpret_cast<ethtool_link_settings*>(answer.data());
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(answer.data());
  settings.cmd = ETHTOOL_GLINKSETTINGS;
  if (::ioctl(fd, SIOCETHTOOL, &request) != 0 || settings.link_mode_masks_nwords >= 0) return 0;
  const auto words = static_cast<std::int8_t>(-settings.link_mode_masks_nwords);
  answer.fill({});
  settings.cmd = ETHTOOL_GLINKSETTINGS;
  settings.link_mode_masks_nwords = words;
  if (::ioctl(fd, SIOCETHTOOL, &request) != 0) return 0;
  const std::uint32_t speed = settings.speed;
  return speed == static_cast<std::uint32_t>(SPEED_UNKNOWN) || speed == UINT16_MAX ? 0 : speed;
}

// What sysfs says; it shows the network namespace of whoever has mounted it, which need not be ours.
std::string sysfs(const std::string& name, unsigned index, const char* file) {
  const auto folder = std::filesystem::path("/sys/class/net") / name;
  try {
    if (std::stoul(read_file(folder / "ifindex", 64)) != index) return "";
    return read_file(folder / file, 4096);
  } catch (const std::exception&) {
    return "";
  }
}

LinkKind kind_of(int fd, rtnl_link* link, const std::string& name, unsigned index) {
  if ((rtnl_link_get_flags(link) & IFF_LOOPBACK) != 0) return LinkKind::loopback;
  const char* type = rtnl_link_get_type(link);
  const std::string_view driver = type == nullptr ? "" : type;
  const unsigned hardware = rtnl_link_get_arptype(link);
  if (driver == "wwan" || hardware == ARPHRD_RAWIP ||
      sysfs(name, index, "uevent").find("DEVTYPE=wwan") != std::string::npos)
    return LinkKind::cellular;
  static constexpr std::array<std::string_view, 10> tunnels{"tun", "wireguard", "ipip", "gre",  "gretap",
                                                            "sit", "ip6tnl",    "vti",  "xfrm", "ppp"};
  if (std::ranges::find(tunnels, driver) != tunnels.end() || hardware == ARPHRD_NONE || hardware == ARPHRD_PPP)
    return LinkKind::vpn;
  iwreq wireless{};
  name.copy(wireless.ifr_name, IFNAMSIZ - 1);
  const bool is_wireless = ::ioctl(fd, SIOCGIWNAME, &wireless) == 0 ||
                           sysfs(name, index, "uevent").find("DEVTYPE=wlan") != std::string::npos;
  return is_wireless ? LinkKind::wireless : LinkKind::wired;
}

std::optional<LinkAddress> address_of(rtnl_addr* entry) {
  const nl_addr* local = rtnl_addr_get_local(entry);
  if (local == nullptr || (rtnl_addr_get_flags(entry) & unusable_address) != 0) return std::nullopt;
  const void* bytes = nl_addr_get_binary_addr(local);
  const auto bits = static_cast<unsigned>(rtnl_addr_get_prefixlen(entry));
  if (rtnl_addr_get_family(entry) == AF_INET && nl_addr_get_len(local) == 4) {
    asio::ip::address_v4::bytes_type v4;
    std::memcpy(v4.data(), bytes, v4.size());
    return LinkAddress{asio::ip::address_v4(v4), bits};
  }
  if (rtnl_addr_get_family(entry) == AF_INET6 && nl_addr_get_len(local) == 16) {
    asio::ip::address_v6::bytes_type v6;
    std::memcpy(v6.data(), bytes, v6.size());
    const asio::ip::address_v6 address(v6);
    const auto scope = address.is_link_local() ? static_cast<unsigned>(rtnl_addr_get_ifindex(entry)) : 0;
    return LinkAddress{asio::ip::address_v6(v6, scope), bits};
  }
  return std::nullopt;
}

bool is_local(const Address& address) {
  return address.is_loopback() ||
         (address.is_v6() ? address.to_v6().is_link_local() : (address.to_v4().to_uint() >> 16) == 0xa9fe);  // RFC 3927
}

// Whether others reach a link by the address; on the loopback interface, whether this host does.
bool reaches(const Link& link, const Address& address) {
  return link.interface.kind == LinkKind::loopback ? address.is_loopback() : !is_local(address);
}

std::set<unsigned> default_routes(nl_sock* socket) {
  std::set<unsigned> links;
  nl_cache* raw = nullptr;
  if (rtnl_route_alloc_cache(socket, AF_UNSPEC, 0, &raw) < 0) return links;
  const Cache cache(raw);
  for_each<rtnl_route>(cache.get(), [&](rtnl_route* route) {
    const nl_addr* to = rtnl_route_get_dst(route);
    if (rtnl_route_get_table(route) != default_table || (to != nullptr && nl_addr_get_prefixlen(to) != 0)) return;
    for (int i = 0; i < rtnl_route_get_nnexthops(route); ++i)
      links.insert(static_cast<unsigned>(rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, i))));
  });
  return links;
}

std::vector<Link> dump(nl_sock* socket) {
  nl_cache* raw_links = nullptr;
  if (rtnl_link_alloc_cache(socket, AF_UNSPEC, &raw_links) < 0) return {};
  const Cache link_cache(raw_links);
  nl_cache* raw_addresses = nullptr;
  if (rtnl_addr_alloc_cache(socket, &raw_addresses) < 0) return {};
  const Cache address_cache(raw_addresses);
  const auto routes = default_routes(socket);

  const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::map<unsigned, Link> links;
  for_each<rtnl_link>(link_cache.get(), [&](rtnl_link* entry) {
    const auto index = static_cast<unsigned>(rtnl_link_get_ifindex(entry));
    Link& link = links[index];
    link.index = index;
    link.interface.name = rtnl_link_get_name(entry);
    link.interface.kind = kind_of(fd.get(), entry, link.interface.name, index);
    link.interface.carrier = (rtnl_link_get_flags(entry) & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
    link.interface.speed_mbits = speed_of(fd.get(), link.interface.name);
    link.interface.metered = link.interface.kind == LinkKind::cellular;
    link.default_route = routes.contains(index);
  });
  for_each<rtnl_addr>(address_cache.get(), [&](rtnl_addr* entry) {
    const auto link = links.find(static_cast<unsigned>(rtnl_addr_get_ifindex(entry)));
    if (const auto address = address_of(entry); address && link != links.end())
      link->second.addresses.push_back(*address);
  });

  std::vector<Link> result;
  result.reserve(links.size());
  for (auto& entry : links) {
    Link& link = entry.second;
    std::ranges::stable_sort(link.addresses, {}, [&](const LinkAddress& each) { return !reaches(link, each.address); });
    for (const auto& [address, bits] : link.addresses) {
      if (reaches(link, address)) (address.is_v4() ? link.interface.ipv4 : link.interface.ipv6) = true;
    }
    result.push_back(std::move(link));
  }
  return result;
}

bool same_prefix(const Address& one, const Address& other, unsigned bits) {
  if (one.is_v4() != other.is_v4()) return false;
  const auto equal = [bits](const auto& a, const auto& b) {
    for (unsigned i = 0; i < 8 * a.size() && i < bits; ++i)
      if (((a[i / 8] ^ b[i / 8]) & (0x80 >> i % 8)) != 0) return false;
    return true;
  };
  return one.is_v4() ? equal(one.to_v4().to_bytes(), other.to_v4().to_bytes())
                     : equal(one.to_v6().to_bytes(), other.to_v6().to_bytes());
}

nl_sock* connected() {
  nl_sock* socket = nl_socket_alloc();
  if (socket != nullptr && nl_connect(socket, NETLINK_ROUTE) == 0) return socket;
  nl_socket_free(socket);
  throw std::runtime_error("sessionfs: the kernel's netlink cannot be reached");
}

}  // namespace

LinkWatch::LinkWatch(asio::io_context& io, std::function<void()> on_change)
    : on_change_(std::move(on_change)), events_(connected()), descriptor_(io), settle_(io) {
  try {
    questions_ = connected();
    if (nl_socket_add_memberships(events_, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                                  RTNLGRP_IPV6_ROUTE, 0) < 0)
      throw std::runtime_error("sessionfs: the kernel's netlink tells nothing of links");
    nl_socket_set_nonblocking(events_);
    descriptor_.assign(::dup(nl_socket_get_fd(events_)));
  } catch (...) {
    nl_socket_free(events_);
    nl_socket_free(questions_);
    throw;
  }
  links_ = dump(questions_);
  wait();
}

LinkWatch::~LinkWatch() {
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  nl_socket_free(events_);
  nl_socket_free(questions_);
}

void LinkWatch::wait() {
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;
    // What the messages say does not matter, nor whether some were lost.
    std::array<char, 16384> buffer{};
    while (::recv(descriptor_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0 || errno == ENOBUFS) {
    }
    read_later();
    wait();
  });
}

void LinkWatch::read_later() {
  if (std::exchange(settling_, true)) return;
  settle_.expires_at(std::max(std::chrono::steady_clock::now() + link_settle_ms, last_read_ + link_pause_ms));
  settle_.async_wait([this](const boost::system::error_code& stopped) {
    if (!stopped) read();
  });
}

void LinkWatch::read() {
  settling_ = false;
  auto now = dump(questions_);
  last_read_ = std::chrono::steady_clock::now();
  if (now == links_) return;
  links_ = std::move(now);
  on_change_();
}

std::vector<Interface> LinkWatch::interfaces() const {
  std::vector<Interface> all(links_.size());
  std::ranges::transform(links_, all.begin(), &Link::interface);
  return all;
}

std::vector<Address> LinkWatch::addresses(const std::vector<std::string>& names, bool ipv4, bool ipv6) const {
  std::vector<Address> found;
  for (const auto& name : names) {
    const auto link = std::ranges::find_if(links_, [&](const Link& each) { return each.interface.name == name; });
    if (link == links_.end()) continue;
    std::size_t count = 0;
    for (const auto& [address, bits] : link->addresses) {
      if (!reaches(*link, address) || !(address.is_v4() ? ipv4 : ipv6)) continue;
      if (count++ == max_addresses_of_an_interface) break;
      found.push_back(address);
    }
  }
  return found;
}

std::optional<std::string> LinkWatch::interface_of(const Address& address) const {
  auto plain = address;
  if (plain.is_v6() && plain.to_v6().is_v4_mapped())
    plain = asio::ip::make_address_v4(asio::ip::v4_mapped, plain.to_v6());
  for (const auto& link : links_)
    if (std::ranges::find(link.addresses, plain, &LinkAddress::address) != link.addresses.end())
      return link.interface.name;
  return std::nullopt;
}

bool LinkWatch::is_near(const std::string& interface, const Address& address) const {
  const auto link = std::ranges::find_if(links_, [&](const Link& each) { return each.interface.name == interface; });
  return link != links_.end() && std::ranges::any_of(link->addresses, [&](const LinkAddress& own) {
           return same_prefix(own.address, address, own.prefix_bits);
         });
}

std::vector<std::string> LinkWatch::text() const {
  std::vector<std::string> lines;
  for (const auto& link : links_) {
    const Interface& interface = link.interface;
    std::string line = interface.name + (interface.carrier ? " up " : " down ") + std::string(name_of(interface.kind));
    if (interface.speed_mbits > 0) line += " " + std::to_string(interface.speed_mbits) + "Mbit/s";
    if (interface.metered) line += " metered";
    if (link.default_route) line += " default-route";
    for (const auto& [address, bits] : link.addresses) line += " " + address.to_string();
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace sessionfs::fs
