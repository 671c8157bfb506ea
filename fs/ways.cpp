#include "fs/ways.hpp"

#include <algorithm>

namespace sessionfs::fs {
namespace {

using Address = boost::asio::ip::address;

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

}  // namespace

bool is_near(const Link& link, const Address& address) {
  return std::ranges::any_of(
      link.addresses, [&](const LinkAddress& own) { return same_prefix(own.address, address, own.prefix_bits); });
}

std::vector<Way> ways_by(std::span<const Link* const> links, std::span<const boost::asio::ip::tcp::endpoint> peer) {
  struct Place {
    bool by_router;
    std::size_t turn;  // of the link, among its ways of that kind

    auto operator<=>(const Place&) const = default;
  };
  std::vector<std::pair<Place, Way>> placed;
  for (const Link* link : links) {
    std::size_t turns[2] = {0, 0};
    for (const auto& address : peer) {
      const bool v4 = address.address().is_v4();
      if (!(v4 ? link->interface.ipv4 : link->interface.ipv6)) continue;
      const bool by_router = !is_near(*link, address.address());
      placed.emplace_back(Place{by_router, turns[by_router ? 1 : 0]++}, Way(address, link->interface.name));
    }
  }
  std::ranges::stable_sort(placed, {}, [](const auto& each) { return each.first; });
  std::vector<Way> ways;
  ways.reserve(placed.size());
  for (auto& [place, way] : placed) ways.push_back(std::move(way));
  const auto first = std::ranges::find_if(
      ways, [&](const Way& way) { return !links.empty() && way.interface == links.front()->interface.name; });
  if (first != ways.end()) std::rotate(ways.begin(), first, first + 1);
  return ways;
}

}  // namespace sessionfs::fs
