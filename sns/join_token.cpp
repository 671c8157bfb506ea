#include "sns/join_token.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <boost/asio/ip/address_v6.hpp>
#include <charconv>
#include <stdexcept>

#include "engine/name.hpp"
#include "sns/wire_bytes.hpp"

namespace sessionfs::sns {
namespace {

constexpr std::string_view prefix = "sns1-";
constexpr std::size_t checksum_bytes = 4;
constexpr std::size_t max_port_digits = 5;
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";  // RFC 4648, 5

std::array<std::byte, 32> sha256(std::span<const std::byte> bytes) {
  std::array<std::byte, 32> out{};
  std::size_t size = out.size();
  if (EVP_Q_digest(nullptr, "SHA256", nullptr, bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()),
                   &size) != 1)
    throw std::runtime_error("cannot hash");
  return out;
}

std::string encode_base64url(std::span<const std::byte> bytes) {
  std::string text;
  unsigned bits = 0;
  unsigned held = 0;
  for (const std::byte one : bytes) {
    held = (held << 8 | std::to_integer<unsigned>(one)) & 0xffff;
    for (bits += 8; bits >= 6; bits -= 6) text += alphabet[held >> (bits - 6) & 63];
  }
  if (bits > 0) text += alphabet[held << (6 - bits) & 63];
  return text;
}

std::optional<std::vector<std::byte>> decode_base64url(std::string_view text) {
  std::vector<std::byte> bytes;
  unsigned bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const auto digit = alphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    held = (held << 6 | static_cast<unsigned>(digit)) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<std::byte>(held >> bits));
    }
  }
  // A bit left over, or six of them, is no form that encoding gives.
  if (bits >= 6 || (held & ((1U << bits) - 1)) != 0) return std::nullopt;
  return bytes;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const auto first = text.find_first_not_of(space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

// Of a host, or of a zone: both are passed on to the resolver.
bool is_name(std::string_view text, std::size_t max_bytes) {
  return !text.empty() && text.size() <= max_bytes && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

bool is_ipv6(std::string_view text) {
  if (text.find('\0') != std::string_view::npos || text.size() > max_host_bytes) return false;  // C functions follow
  const auto percent = text.find('%');
  if (percent != std::string_view::npos && !is_name(text.substr(percent + 1), max_zone_bytes)) return false;
  boost::system::error_code error;
  boost::asio::ip::make_address_v6(std::string(text.substr(0, percent)), error);
  return !error;
}

}  // namespace

std::array<std::byte, 32> hash(const Secret& secret) { return sha256(secret); }

std::string format(const JoinToken& token) {
  std::vector<std::byte> bytes;
  Writer out(bytes);
  out.field<std::uint8_t>(as_bytes(token.domain));
  out.number(static_cast<std::uint8_t>(token.servers.size()));
  for (const auto& server : token.servers) out.field<std::uint8_t>(as_bytes(server));
  out.raw(token.ca);
  out.raw(token.secret);
  const auto checksum = sha256(bytes);
  out.raw(std::span(checksum).first(checksum_bytes));
  return std::string(prefix) + encode_base64url(bytes);
}

std::optional<JoinToken> parse_join_token(std::string_view text) {
  text = trimmed(text);
  if (text.size() > max_token_bytes || !text.starts_with(prefix)) return std::nullopt;
  const auto bytes = decode_base64url(text.substr(prefix.size()));
  if (!bytes || bytes->size() < checksum_bytes) return std::nullopt;
  const auto content = std::span(*bytes).first(bytes->size() - checksum_bytes);
  const auto checksum = sha256(content);
  if (!std::ranges::equal(std::span(*bytes).last(checksum_bytes), std::span(checksum).first(checksum_bytes)))
    return std::nullopt;

  Reader in(content);
  JoinToken token;
  auto domain = parse_domain(to_text(in.field<std::uint8_t>(max_whole_name_bytes)));
  const auto count = in.number<std::uint8_t>();
  if (!domain || count == 0 || count > max_token_servers) return std::nullopt;
  token.domain = std::move(*domain);
  for (std::size_t i = 0; i < count; ++i) {
    token.servers.push_back(to_text(in.field<std::uint8_t>(max_server_bytes)));
    if (!parse_server(token.servers.back())) return std::nullopt;
  }
  token.ca = in.array<sizeof(Fingerprint)>();
  token.secret = in.array<sizeof(Secret)>();
  if (!in.done()) return std::nullopt;
  return token;
}

std::optional<ServerAddress> parse_server(std::string_view text, std::uint16_t port) {
  std::string_view host = text;
  std::string_view rest;  // with its colon
  bool v6 = false;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
    v6 = true;
  } else if (std::ranges::count(text, ':') > 1) {
    v6 = true;
  } else {
    host = text.substr(0, text.find(':'));
    rest = text.substr(host.size());
  }
  if (v6 ? !is_ipv6(host) : !is_name(host, max_host_bytes)) return std::nullopt;
  ServerAddress address{std::string(host), port};
  if (rest.empty()) return address;
  if (!rest.starts_with(':') || rest.size() > 1 + max_port_digits) return std::nullopt;
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), address.port);
  if (error != std::errc() || end != rest.data() + rest.size()) return std::nullopt;
  return address;
}

}  // namespace sessionfs::sns
