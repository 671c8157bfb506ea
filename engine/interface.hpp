// A network interface of the host, as far as the choice between several goes (thesis 3.6, 6.3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sessionfs {

enum class LinkKind : std::uint8_t { wired, wireless, cellular, vpn, loopback };

struct Interface {
  std::string name;
  LinkKind kind = LinkKind::wired;
  bool carrier = false;           // it is up, and packets can leave by it
  std::uint32_t speed_mbits = 0;  // 0: the system does not tell
  bool metered = false;           // what goes over it costs
  bool ipv4 = false;              // it has an address of the family by which others can reach it: no link-local one
  bool ipv6 = false;

  friend bool operator==(const Interface&, const Interface&) = default;
};

/// As in a file `policy`: wired, wireless, cellular, vpn, loopback.
std::string_view name_of(LinkKind kind);

}  // namespace sessionfs
