// Interfaces and policies as the tests of the choice between them spell them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/interface.hpp"
#include "engine/policy.hpp"

namespace sessionfs::test {

inline Interface interface_of(std::string name, LinkKind kind, std::uint32_t speed_mbits) {
  return {
      .name = std::move(name), .kind = kind, .carrier = true, .speed_mbits = speed_mbits, .ipv4 = true, .ipv6 = true};
}
inline Interface wired(std::string name, std::uint32_t speed_mbits = 1000) {
  return interface_of(std::move(name), LinkKind::wired, speed_mbits);
}
inline Interface wireless(std::string name, std::uint32_t speed_mbits = 300) {
  return interface_of(std::move(name), LinkKind::wireless, speed_mbits);
}
inline Interface cellular(std::string name) {
  auto made = interface_of(std::move(name), LinkKind::cellular, 0);
  made.metered = true;
  return made;
}
inline Interface vpn(std::string name) { return interface_of(std::move(name), LinkKind::vpn, 0); }
inline Interface loopback() { return interface_of("lo", LinkKind::loopback, 0); }

inline Interface without_carrier(Interface interface) {
  interface.carrier = false;
  return interface;
}
inline Interface with_families(Interface interface, bool ipv4, bool ipv6) {
  interface.ipv4 = ipv4;
  interface.ipv6 = ipv6;
  return interface;
}
inline Interface metered(Interface interface) {
  interface.metered = true;
  return interface;
}

inline std::vector<Interface> many_interfaces(std::size_t count) {
  std::vector<Interface> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(wired("eth" + std::to_string(i)));
  return all;
}

inline Policy policy_of(std::string_view rules) {
  auto parsed = Policy::parse(rules);
  if (const auto* error = std::get_if<RuleError>(&parsed)) {
    ADD_FAILURE() << "line " << error->line << ": " << error->reason;
    return {};
  }
  return std::get<Policy>(std::move(parsed));
}

}  // namespace sessionfs::test
