// The words that all of sns/ speaks: addresses, keys as bytes, statuses. Pure: no I/O, no library.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sessionfs::sns {

inline constexpr std::size_t max_addresses = 16;  // of one endpoint
inline constexpr std::uint16_t default_port = 4701;

using PublicKey = std::array<std::byte, 32>;       // Ed25519, RFC 8032
using Signature = std::array<std::byte, 64>;       // Ed25519, RFC 8032
using Fingerprint = std::array<std::byte, 32>;     // SHA-256 of a certificate's DER form
using ChannelBinding = std::array<std::byte, 32>;  // of one connection: tls-exporter, RFC 9266
using Secret = std::array<std::byte, 16>;          // of a join token; used once
using MemberId = std::uint64_t;                    // of a host in its domain; 0 is nobody
using ResidenceMark = std::array<std::byte, 16>;   // random; see Residence
using UnixTime = std::chrono::sys_seconds;

/// Seconds since 1970, UTC: how times are stored.
inline std::int64_t to_seconds(UnixTime time) { return time.time_since_epoch().count(); }

/// "2026-11-23T17:05:00Z" (ISO 8601, RFC 3339).
std::string to_text(UnixTime time);

enum class Family : std::uint8_t { v4 = 4, v6 = 6 };
enum class Protocol : std::uint8_t { tls_tcp = 1 };  // sessions over TLS 1.3 over TCP

/// Where an endpoint can be reached.
struct Address {
  Family family = Family::v4;
  std::array<std::uint8_t, 16> ip{};  // in network order; v4: the first four, the others are 0
  std::uint16_t port = 0;
  Protocol protocol = Protocol::tls_tcp;

  friend auto operator<=>(const Address&, const Address&) = default;
};

/// One stay of an endpoint at a host. Each load is a new one with a higher generation. The mark tells two hosts apart
/// that claim the same generation, each with a copy of the endpoint: it is made by who claims, never leaves that host
/// but to the name server, and no copy of the endpoint holds it.
struct Residence {
  std::uint64_t generation = 0;
  ResidenceMark mark{};

  friend bool operator==(const Residence&, const Residence&) = default;
};

/// What a name server tells of an endpoint.
struct EndpointInfo {
  std::uint64_t generation = 0;
  PublicKey public_key{};
  std::vector<Address> addresses;      // in the endpoint's order of preference; empty: it is nowhere just now
  std::optional<UnixTime> away_since;  // when its host was last heard of, if that is too long ago

  friend bool operator==(const EndpointInfo&, const EndpointInfo&) = default;
};

/// How a request ended. The numbers are on the wire and never change.
enum class Status : std::uint8_t {
  ok = 0,
  exists = 1,
  not_found = 2,
  not_member = 3,
  bad_signature = 4,
  stale_generation = 5,
  bad_name = 6,
  wrong_domain = 7,
  bad_request = 8,
  unsupported_version = 9,
  token_expired = 10,
  token_used = 11,
  token_unknown = 12,
  limit = 13,
  internal = 14,
  revoked = 15,
  // What a client finds itself; never on the wire.
  unreachable = 128,
  timed_out = 129,
  untrusted = 130,
};

/// Whether a server may answer with it.
bool is_wire_status(std::uint8_t number);

/// What happened and what to do, in one line without a full stop.
std::string_view describe(Status status);

}  // namespace sessionfs::sns
