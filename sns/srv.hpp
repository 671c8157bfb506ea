// SRV records (RFC 2782): reading them from a DNS answer (RFC 1035), and the order in which their targets are tried.
// No I/O; what is read may come from anybody.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace sessionfs::sns {

inline constexpr std::uint16_t dns_class_internet = 1;  // RFC 1035, 3.2.4
inline constexpr std::uint16_t dns_type_srv = 33;       // RFC 2782
inline constexpr std::size_t max_srv_records = 64;      // read from one answer; those after them do not count

struct SrvRecord {
  std::uint16_t priority = 0;  // the lowest first
  std::uint16_t weight = 0;    // among those of one priority: the more, the more likely it comes first
  std::uint16_t port = 0;
  std::string target;  // a host, in lower case without a dot at its end

  friend bool operator==(const SrvRecord&, const SrvRecord&) = default;
};

struct SrvAnswer {
  std::vector<SrvRecord> records;                   // those of use: a host's name and a port
  bool none_offered = false;                        // a target is ".": the domain has no such service, and says so
  bool any = false;                                 // there were SRV records, of use or not
  std::chrono::seconds ttl{std::chrono::hours(1)};  // the smallest of what the answer tells, or this
};

/// A whole DNS message. Nothing when it is malformed.
std::optional<SrvAnswer> parse_srv_answer(std::span<const std::uint8_t> message);

/// By priority, and at random by weight within one priority (RFC 2782, "Weight").
std::vector<SrvRecord> in_order(std::vector<SrvRecord> records, std::mt19937_64& random);

}  // namespace sessionfs::sns
