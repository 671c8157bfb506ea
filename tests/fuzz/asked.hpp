// The inputs of fuzz_responder: requests to a name server, most of them signed by somebody.
#pragma once

#include "sns/wire.hpp"
#include "tests/fuzz/keys.hpp"

namespace sessionfs::fuzz {

inline constexpr std::string_view asked_domain = "verkstad.net";
/// Keys 1 and 2 are members from the start, 3 and 4 can become members; 1 to 4 can also own endpoints.
inline constexpr std::uint8_t asked_keys = 4;
/// The secrets of tokens 0 and 1 are good, that of 2 has expired; no other token is known.
inline constexpr std::uint8_t asked_good_tokens = 2;
inline constexpr std::uint8_t asked_known_tokens = 3;

inline constexpr std::array<std::string_view, 9> asked_names = {"alice@verkstad.net",
                                                                "bob@verkstad.net",
                                                                "file.alice@verkstad.net",
                                                                "echo.alice@verkstad.net",
                                                                "file.bob@verkstad.net",
                                                                "Alice@Verkstad.NET",
                                                                "alice@example.com",
                                                                "no name",
                                                                ""};

inline sns::Secret asked_secret(std::uint8_t number) {
  sns::Secret secret{};
  secret.fill(std::byte{number});
  return secret;
}

inline constexpr std::uint8_t asked_operations = 11;
/// Residences have so many different marks, connections so many orders: what collides tells more than what is random.
inline constexpr std::uint8_t asked_marks = 3;
inline constexpr std::uint8_t asked_connections = 2;
/// As a signing request's name: CHANGE_EP goes without one.
inline constexpr std::uint8_t asked_no_csr = 0xfe;
/// In the place of an operation.
inline constexpr std::uint8_t asked_raw = 0xff;   // a length and so many bytes follow: a body as it is
inline constexpr std::uint8_t asked_tick = 0xfe;  // a byte follows: so many seconds pass
inline constexpr std::uint8_t asked_revoke =
    0xfd;  // a byte follows: the administrator revokes the endpoint of that name

/// One request of an input, 16 bytes and the addresses:
///   operation (from 0), name (of asked_names; above: a text follows), generation, mark, number of addresses, member,
///   key of the signing request, name of the signing request, token, port (2 bytes), connection, signer (0: nobody), id
///   (0: the next one; else that number), place and bits of an error that is made before signing; 19 bytes an address;
///   the text
struct Asked {
  sns::Operation operation{};
  std::uint8_t name = 0;
  std::uint8_t generation = 0;
  std::uint8_t mark = 0;
  std::uint8_t addresses = 0;
  std::uint8_t member = 0;
  std::uint8_t csr_key = 0;
  std::uint8_t csr_name = 0;
  std::uint8_t token = 0;
  std::uint16_t port = 0;
  std::uint8_t connection = 0;
  std::uint8_t signer = 0;
  std::uint8_t id = 0;
  std::uint8_t error_place = 0;
  std::uint8_t error_bits = 0;
};

/// A byte that stands for many.
inline std::uint64_t spread(std::uint8_t byte) {
  if (byte < 0xe0) return byte;
  return byte < 0xf0 ? std::uint64_t{1} << (4 * (byte - 0xe0)) : ~std::uint64_t{0} >> (4 * (byte - 0xf0));
}

}  // namespace sessionfs::fuzz
