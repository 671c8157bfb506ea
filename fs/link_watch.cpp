#include "fs/link_watch.hpp"

#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/sockios.h>
#include <linux/wireless.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/handlers.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
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

constexpr unsigned unusable_address = IFA_F_TENTATIVE | IFA_F_DADFAILED;

struct FreeCache {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
using Cache = std::unique_ptr<nl_cache, FreeCache>;

struct FreeCallbacks {
  void operator()(nl_cb* callbacks) const { nl_cb_put(callbacks); }
};
using Callbacks = std::unique_ptr<nl_cb, FreeCallbacks>;

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

// Null is none. `index`: of the link that a link-local one belongs to.
std::optional<Address> plain(const nl_addr* address, unsigned index) {
  if (address == nullptr) return std::nullopt;
  const void* bytes = nl_addr_get_binary_addr(address);
  if (nl_addr_get_family(address) == AF_INET && nl_addr_get_len(address) == 4) {
    asio::ip::address_v4::bytes_type v4;
    std::memcpy(v4.data(), bytes, v4.size());
    return asio::ip::address_v4(v4);
  }
  if (nl_addr_get_family(address) == AF_INET6 && nl_addr_get_len(address) == 16) {
    asio::ip::address_v6::bytes_type v6;
    std::memcpy(v6.data(), bytes, v6.size());
    const bool of_the_link = asio::ip::address_v6(v6).is_link_local();
    return asio::ip::address_v6(v6, of_the_link ? index : 0);
  }
  return std::nullopt;
}

std::optional<LinkAddress> address_of(rtnl_addr* entry) {
  if ((rtnl_addr_get_flags(entry) & unusable_address) != 0) return std::nullopt;
  const auto local = plain(rtnl_addr_get_local(entry), static_cast<unsigned>(rtnl_addr_get_ifindex(entry)));
  if (!local) return std::nullopt;
  const bool deprecated = (rtnl_addr_get_flags(entry) & IFA_F_DEPRECATED) != 0;
  return LinkAddress{*local, static_cast<unsigned>(rtnl_addr_get_prefixlen(entry)), deprecated};
}

bool is_local(const Address& address) {
  return address.is_loopback() ||
         (address.is_v6() ? address.to_v6().is_link_local() : (address.to_v4().to_uint() >> 16) == 0xa9fe);  // RFC 3927
}

// Whether others reach a link by the address; on the loopback interface, whether this host does.
bool reaches(const Link& link, const LinkAddress& own) {
  if (own.deprecated) return false;
  return link.interface.kind == LinkKind::loopback ? own.address.is_loopback() : !is_local(own.address);
}

bool is_default_route(const nlmsghdr& message) {
  const auto* route = static_cast<const rtmsg*>(nlmsg_data(&message));
  return nlmsg_valid_hdr(&message, sizeof(rtmsg)) != 0 && route->rtm_dst_len == 0 && route->rtm_type == RTN_UNICAST &&
         route->rtm_table == RT_TABLE_MAIN;
}

using Gateways = std::map<unsigned, std::set<Address>>;  // of each link that has a default route, by its index

int add_default_route(nl_msg* message, void* gateways) {
  if (!is_default_route(*nlmsg_hdr(message))) return NL_OK;
  rtnl_route* route = nullptr;
  if (rtnl_route_parse(nlmsg_hdr(message), &route) < 0) return NL_SKIP;
  for (int i = 0; i < rtnl_route_get_nnexthops(route); ++i) {
    rtnl_nexthop* hop = rtnl_route_nexthop_n(route, i);
    const auto index = static_cast<unsigned>(rtnl_route_nh_get_ifindex(hop));
    const nl_addr* gateway = rtnl_route_nh_get_gateway(hop);
    if (gateway == nullptr) gateway = rtnl_route_nh_get_via(hop);  // of the other family
    (*static_cast<Gateways*>(gateways))[index].insert(plain(gateway, index).value_or(Address()));
  }
  rtnl_route_put(route);
  return NL_OK;
}

// Nothing when the kernel could not be asked. A host may have a million other routes: libnl would look each of them up
// in a list of them.
std::optional<Gateways> default_routes(nl_sock* socket) {
  Gateways gateways;
  const Callbacks callbacks(nl_cb_alloc(NL_CB_DEFAULT));
  rtmsg question{};
  if (callbacks == nullptr || nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, add_default_route, &gateways) < 0 ||
      nl_send_simple(socket, RTM_GETROUTE, NLM_F_DUMP, &question, sizeof question) < 0 ||
      nl_recvmsgs(socket, callbacks.get()) < 0)
    return std::nullopt;
  return gateways;
}

// What there is now; nothing when the kernel could not be asked.
std::optional<std::vector<Link>> dump(nl_sock* socket, int ioctl_socket) {
  nl_cache* raw_links = nullptr;
  if (rtnl_link_alloc_cache(socket, AF_UNSPEC, &raw_links) < 0) return std::nullopt;
  const Cache link_cache(raw_links);
  nl_cache* raw_addresses = nullptr;
  if (rtnl_addr_alloc_cache(socket, &raw_addresses) < 0) return std::nullopt;
  const Cache address_cache(raw_addresses);
  const auto routes = default_routes(socket);
  if (!routes) return std::nullopt;

  std::map<unsigned, Link> links;
  for_each<rtnl_link>(link_cache.get(), [&](rtnl_link* entry) {
    const auto index = static_cast<unsigned>(rtnl_link_get_ifindex(entry));
    Link& link = links[index];
    link.index = index;
    link.interface.name = rtnl_link_get_name(entry);
    link.interface.kind = kind_of(ioctl_socket, entry, link.interface.name, index);
    link.interface.carrier = (rtnl_link_get_flags(entry) & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
    link.interface.speed_mbits = speed_of(ioctl_socket, link.interface.name);
    link.interface.metered = link.interface.kind == LinkKind::cellular;
    if (const auto found = routes->find(index); found != routes->end())
      link.gateways.assign(found->second.begin(), found->second.end());
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
    std::stable_partition(link.addresses.begin(), link.addresses.end(),
                          [&](const LinkAddress& each) { return reaches(link, each); });
    for (const auto& each : link.addresses) {
      if (reaches(link, each)) (each.address.is_v4() ? link.interface.ipv4 : link.interface.ipv6) = true;
    }
    result.push_back(std::move(link));
  }
  return result;
}

LinkWatch::Socket connected() {
  LinkWatch::Socket socket(nl_socket_alloc());
  if (socket != nullptr && nl_connect(socket.get(), NETLINK_ROUTE) == 0) return socket;
  throw std::runtime_error("sessionfs: the kernel's netlink cannot be reached");
}

}  // namespace

LinkWatch::LinkWatch(asio::io_context& io, std::function<void()> on_change)
    : on_change_(std::move(on_change)),
      events_(connected()),
      questions_(connected()),
      ioctls_(io, asio::ip::udp::v4()),
      descriptor_(io),
      settle_(io) {
  if (nl_socket_add_memberships(events_.get(), RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0) < 0)
    throw std::runtime_error("sessionfs: the kernel's netlink tells nothing of links");
  auto links = dump(questions_.get(), ioctls_.native_handle());
  if (!links) throw std::runtime_error("sessionfs: the kernel's netlink does not tell which links there are");
  links_ = std::move(*links);
  descriptor_.assign(nl_socket_get_fd(events_.get()));
  wait();
}

void LinkWatch::FreeSocket::operator()(nl_sock* socket) const { nl_socket_free(socket); }

LinkWatch::~LinkWatch() {
  *ended_ = true;
  descriptor_.release();  // it is that of events_
}

void LinkWatch::wait() {
  const auto handle = [this, ended = ended_](const boost::system::error_code& error) {
    if (error || *ended) return;
    if (read_events()) read_later(link_settle_ms);
    wait();
  };
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, handle);
}

// Whether one may concern us. Of routes only the default ones do: on some hosts others come and go all the time.
bool LinkWatch::read_events() {
  bool concerns_us = false;
  alignas(nlmsghdr) std::array<char, 16384> buffer{};
  while (true) {
    const auto size = ::recv(descriptor_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) concerns_us = true;  // some were lost
    if (size < 0 && errno != ENOBUFS) return concerns_us;
    if (size > static_cast<ssize_t>(buffer.size())) concerns_us = true;
    int left = static_cast<int>(std::min<ssize_t>(size, buffer.size()));
    for (auto* at = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(at, left) != 0; at = nlmsg_next(at, &left)) {
      const bool is_route = at->nlmsg_type == RTM_NEWROUTE || at->nlmsg_type == RTM_DELROUTE;
      concerns_us = concerns_us || !is_route || is_default_route(*at);
    }
  }
}

void LinkWatch::read_later(std::chrono::milliseconds delay) {
  if (std::exchange(settling_, true)) return;
  settle_.expires_at(std::max(std::chrono::steady_clock::now() + delay, last_read_ + link_pause_ms));
  settle_.async_wait([this, ended = ended_](const boost::system::error_code& stopped) {
    if (!stopped && !*ended) read();
  });
}

void LinkWatch::read() {
  settling_ = false;
  auto now = dump(questions_.get(), ioctls_.native_handle());
  last_read_ = std::chrono::steady_clock::now();
  if (!now) return read_later(link_retry_ms);
  if (*now == links_) return;
  links_ = std::move(*now);
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
    std::array<std::size_t, 2> counts{};
    for (const auto& each : link->addresses) {
      const bool v4 = each.address.is_v4();
      if (reaches(*link, each) && (v4 ? ipv4 : ipv6) && counts.at(v4 ? 0 : 1)++ < max_addresses_of_a_family)
        found.push_back(each.address);
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

std::vector<std::string> LinkWatch::text() const {
  std::vector<std::string> lines;
  for (const auto& link : links_) {
    const Interface& interface = link.interface;
    std::string line = interface.name + (interface.carrier ? " up " : " down ") + std::string(name_of(interface.kind));
    if (interface.speed_mbits > 0) line += " " + std::to_string(interface.speed_mbits) + "Mbit/s";
    if (interface.metered) line += " metered";
    if (!link.gateways.empty()) line += " default-route";
    for (const auto& each : link.addresses) {
      line += " " + each.address.to_string();
      if (each.deprecated) line += "(deprecated)";
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace sessionfs::fs
