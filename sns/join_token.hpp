// What a person carries from `snsd token` to a host that is to join the domain: one word.
//
//   sns1-BASE64URL   of: u8 length, domain; u8 count, each server: u8 length, "HOST:PORT"; 32 bytes fingerprint of the
//                    authority's certificate; 16 bytes secret; the first 4 bytes of SHA-256 of all before
//
// The last field finds mistyped tokens; it protects nothing. Whoever has the token can join once, until it expires.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sns/types.hpp"

namespace sessionfs::sns {

inline constexpr std::size_t max_token_servers = 8;
inline constexpr std::size_t max_server_bytes = 255;  // "HOST:PORT"
inline constexpr std::size_t max_token_bytes = 4096;  // the word

struct JoinToken {
  std::string domain;
  std::vector<std::string> servers;  // 1 to max_token_servers
  Fingerprint ca{};
  Secret secret{};

  friend bool operator==(const JoinToken&, const JoinToken&) = default;
};

std::string format(const JoinToken& token);

/// Nothing when `text` is no token, or a damaged one. Space around it is allowed.
std::optional<JoinToken> parse_join_token(std::string_view text);

struct ServerAddress {
  std::string host;  // without brackets
  std::uint16_t port = default_port;
};

inline constexpr std::size_t max_host_bytes = 253;  // of a DNS name as text (RFC 1035, 2.3.4)
inline constexpr std::size_t max_zone_bytes = 15;   // of an interface's name (IFNAMSIZ - 1)

/// "HOST", "HOST:PORT", "[IPv6]" or "[IPv6]:PORT"; also a bare IPv6 address, which then has no port. An IPv6 address
/// may name its zone (RFC 4007, 11): "[fe80::1%eth0]:4701". The port is `port` where none is given. Nothing when it is
/// none of these, or the port is no number from 0 to 65535.
std::optional<ServerAddress> parse_server(std::string_view text, std::uint16_t port = default_port);

/// The hash by which a server knows a token's secret: SHA-256.
std::array<std::byte, 32> hash(const Secret& secret);

}  // namespace sessionfs::sns
