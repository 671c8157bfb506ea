// Join tokens, as a person pastes them, and the addresses of servers in them.
//
// input: the content of a token, which gets its checksum and its form here; also taken as the text of one
#include "sns/join_token.hpp"

#include <openssl/evp.h>

#include <array>

#include "engine/name.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

using namespace sns;

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t checksum_bytes = 4;

// The word of a token with this content, whether or not that is one.
std::string token_of(Bytes content) {
  auto bytes = copy_of(content);
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  std::size_t size = hash.size();
  require(EVP_Q_digest(nullptr, "SHA256", nullptr, bytes.data(), bytes.size(), hash.data(), &size) == 1, "SHA-256");
  const auto checksum = std::as_bytes(std::span(hash)).first(checksum_bytes);
  bytes.insert(bytes.end(), checksum.begin(), checksum.end());
  std::string text = "sns1-";
  for (std::size_t bit = 0; bit < 8 * bytes.size(); bit += 6) {
    const auto at = [&](std::size_t i) { return i < bytes.size() ? std::to_integer<unsigned>(bytes[i]) : 0; };
    const unsigned two = at(bit / 8) << 8 | at(bit / 8 + 1);
    text += alphabet[two >> (10 - bit % 8) & 63];
  }
  return text;
}

void fuzz_server(std::string_view text) {
  const auto address = parse_server(text);
  if (!address) return;
  require(!address->host.empty() && address->host.size() <= max_server_bytes, "a host is bounded");
  require(address->host.find_first_of("[] \t\r\n@/") == std::string::npos, "a host is a name or an address");
  const std::string whole = "[" + address->host + "]:" + std::to_string(address->port);
  const bool v6 = address->host.find(':') != std::string::npos;
  if (whole.size() > max_server_bytes) return;
  const auto again = parse_server(v6 ? whole : address->host + ":" + std::to_string(address->port));
  require(again && again->host == address->host && again->port == address->port, "an address can be written again");
}

void fuzz_token(std::string_view text) {
  (void)hash(Secret{});  // OpenSSL allocates much when it hashes first
  const AllocationMeter meter;
  const auto token = parse_join_token(text);
  require(meter.bytes() <= 64 * text.size() + 16384, "parsing allocates no more than the input explains");
  if (!token) return;
  require(parse_domain(token->domain) == token->domain, "a token's domain is valid");
  require(!token->servers.empty() && token->servers.size() <= max_token_servers, "a token's servers are bounded");
  for (const auto& server : token->servers) fuzz_server(server);
  const std::string formatted = format(*token);
  require(formatted.size() <= max_token_bytes, "a token is bounded");
  require(parse_join_token("\t " + formatted + "\r\n") == token, "parse(format(x)) is x");
  auto mistyped = formatted;
  mistyped[5 + formatted.size() % (formatted.size() - 5)] ^= 1;
  require(parse_join_token(mistyped) != token, "a mistyped token is another one, or none");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  const auto input = input_of(data, size);
  fuzz_token(text_of(input));
  fuzz_token(token_of(input));
  fuzz_server(text_of(input));
  return 0;
}
