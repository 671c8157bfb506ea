#include "sns/wire.hpp"

#include <algorithm>
#include <string_view>

#include "sns/wire_bytes.hpp"

namespace sessionfs::sns {
namespace {

// Longer than anything that parses as a certificate here; the limits of sns/identity.hpp are checked by who parses it.
constexpr std::size_t max_der_bytes = 8 * 1024;
constexpr std::string_view signature_context = "sessionfs sns request, version 1";

enum Field : unsigned {
  name = 1,
  generation_and_addresses = 2,
  member = 4,
  signing_request = 8,
  port = 16,
  secret = 32,
  // of replies
  info = 64,
  certificate = 128,
};

enum class About : std::uint8_t { nothing, endpoint, service };

struct Row {
  Operation operation;
  About about;
  bool is_signed;
  unsigned asked;
  unsigned answered;
};

constexpr Row rows[] = {
    {Operation::new_ep, About::endpoint, true, name | generation_and_addresses | member | signing_request, certificate},
    {Operation::change_ep, About::endpoint, true, name | generation_and_addresses, 0},
    {Operation::del_ep, About::endpoint, true, name, 0},
    {Operation::get_ep, About::endpoint, false, name, info},
    {Operation::new_service, About::service, true, name | port, 0},
    {Operation::change_service, About::service, true, name | port, 0},
    {Operation::del_service, About::service, true, name, 0},
    {Operation::get_service, About::service, false, name, info},
    {Operation::join, About::nothing, false, secret | signing_request, member | certificate},
};

const Row* row_of(std::uint8_t operation) {
  const auto* found =
      std::ranges::find(rows, operation, [](const Row& row) { return static_cast<std::uint8_t>(row.operation); });
  return found == std::end(rows) ? nullptr : found;
}

const Row& row_of(Operation operation) { return *row_of(static_cast<std::uint8_t>(operation)); }

void write_addresses(Writer& out, const std::vector<Address>& addresses) {
  out.number(static_cast<std::uint8_t>(addresses.size()));
  for (const Address& address : addresses) {
    out.number(static_cast<std::uint8_t>(address.family));
    out.raw(std::as_bytes(std::span(address.ip)).first(address.family == Family::v4 ? 4 : 16));
    out.number(address.port);
    out.number(static_cast<std::uint8_t>(address.protocol));
  }
}

std::vector<Address> read_addresses(Reader& in) {
  const auto count = in.number<std::uint8_t>();
  if (count > max_addresses) in.fail();
  std::vector<Address> addresses;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    Address address;
    const auto family = in.number<std::uint8_t>();
    if (family != 4 && family != 6) in.fail();
    address.family = static_cast<Family>(family);
    const auto ip = in.raw(address.family == Family::v4 ? 4 : 16);
    std::ranges::transform(ip, address.ip.begin(), [](std::byte one) { return std::to_integer<std::uint8_t>(one); });
    address.port = in.number<std::uint16_t>();
    if (in.number<std::uint8_t>() != static_cast<std::uint8_t>(Protocol::tls_tcp)) in.fail();
    addresses.push_back(address);
  }
  return addresses;
}

std::vector<std::byte> read_der(Reader& in) {
  const auto der = in.field<std::uint16_t>(max_der_bytes);
  return {der.begin(), der.end()};
}

}  // namespace

bool is_signed(Operation operation) { return row_of(operation).is_signed; }

bool is_about_service(Operation operation) { return row_of(operation).about == About::service; }

std::vector<std::byte> encode(const Request& request) {
  const unsigned fields = row_of(request.operation).asked;
  std::vector<std::byte> body;
  Writer out(body);
  out.number(wire_version);
  out.number(static_cast<std::uint8_t>(request.operation));
  out.number(request.id);
  if ((fields & name) != 0) out.field<std::uint16_t>(as_bytes(request.name));
  if ((fields & generation_and_addresses) != 0) {
    out.number(request.generation);
    write_addresses(out, request.addresses);
  }
  if ((fields & member) != 0) out.number(request.member);
  if ((fields & port) != 0) out.number(request.port);
  if ((fields & secret) != 0) out.raw(request.secret);
  if ((fields & signing_request) != 0) out.field<std::uint16_t>(request.signing_request);
  return body;
}

DecodedRequest decode_request(std::span<const std::byte> body) {
  DecodedRequest out;
  Reader in(body);
  const auto version = in.number<std::uint8_t>();
  out.operation = in.number<std::uint8_t>();
  out.request.id = in.number<std::uint64_t>();
  if (!in.ok()) return out;
  if (version != wire_version) {
    out.status = Status::unsupported_version;
    return out;
  }
  const Row* row = row_of(out.operation);
  if (row == nullptr) return out;
  Request& request = out.request;
  request.operation = row->operation;
  if ((row->asked & name) != 0) request.name = to_text(in.field<std::uint16_t>(max_name_field_bytes));
  if ((row->asked & generation_and_addresses) != 0) {
    request.generation = in.number<std::uint64_t>();
    request.addresses = read_addresses(in);
  }
  if ((row->asked & member) != 0) request.member = in.number<std::uint64_t>();
  if ((row->asked & port) != 0) request.port = in.number<std::uint16_t>();
  if ((row->asked & secret) != 0) request.secret = in.array<sizeof(Secret)>();
  if ((row->asked & signing_request) != 0) request.signing_request = read_der(in);
  out.signed_bytes = body.size() - in.left_bytes();
  if (row->is_signed) out.signature = in.array<sizeof(Signature)>();
  if (in.done()) out.status = Status::ok;
  return out;
}

std::vector<std::byte> encode(const Reply& reply) {
  std::vector<std::byte> body;
  Writer out(body);
  out.number(wire_version);
  out.number(reply.operation);
  out.number(reply.id);
  out.number(static_cast<std::uint8_t>(reply.status));
  const Row* row = row_of(reply.operation);
  if (reply.status != Status::ok || row == nullptr) return body;
  if ((row->answered & info) != 0) {
    out.number(reply.info.generation);
    out.raw(reply.info.public_key);
    write_addresses(out, reply.info.addresses);
  }
  if ((row->answered & member) != 0) out.number(reply.member);
  if ((row->answered & certificate) != 0) out.field<std::uint16_t>(reply.certificate);
  return body;
}

std::optional<Reply> decode_reply(std::span<const std::byte> body) {
  Reply reply;
  Reader in(body);
  const auto version = in.number<std::uint8_t>();
  reply.operation = in.number<std::uint8_t>();
  reply.id = in.number<std::uint64_t>();
  const auto status = in.number<std::uint8_t>();
  if (!in.ok() || !is_wire_status(status)) return std::nullopt;
  reply.status = static_cast<Status>(status);
  // What stays the same in all versions has been read, and an error has no more.
  if (reply.status != Status::ok) return reply;
  const Row* row = row_of(reply.operation);
  if (version != wire_version || row == nullptr) return std::nullopt;
  if ((row->answered & info) != 0) {
    reply.info.generation = in.number<std::uint64_t>();
    reply.info.public_key = in.array<sizeof(PublicKey)>();
    reply.info.addresses = read_addresses(in);
  }
  if ((row->answered & member) != 0) reply.member = in.number<std::uint64_t>();
  if ((row->answered & certificate) != 0) reply.certificate = read_der(in);
  if (!in.done()) return std::nullopt;
  return reply;
}

std::vector<std::byte> to_be_signed(const ChannelBinding& binding, std::span<const std::byte> body) {
  std::vector<std::byte> out;
  out.reserve(signature_context.size() + 1 + binding.size() + body.size());
  Writer writer(out);
  writer.raw(as_bytes(signature_context));
  writer.number(std::uint8_t{0});
  writer.raw(binding);
  writer.raw(body);
  return out;
}

std::vector<std::byte> encode_addresses(const std::vector<Address>& addresses) {
  std::vector<std::byte> bytes;
  Writer out(bytes);
  write_addresses(out, addresses);
  return bytes;
}

std::optional<std::vector<Address>> decode_addresses(std::span<const std::byte> bytes) {
  Reader in(bytes);
  auto addresses = read_addresses(in);
  if (!in.done()) return std::nullopt;
  return addresses;
}

void append_frame(std::vector<std::byte>& out, std::span<const std::byte> body) {
  Writer(out).field<std::uint32_t>(body);
}

FrameSplit split_frame(std::span<const std::byte> stream) {
  Reader in(stream);
  const std::size_t size = in.number<std::uint32_t>();
  if (!in.ok()) return {};
  if (size == 0 || size > max_frame_bytes) return {FrameSplit::Kind::violation, {}, 0};
  const auto body = in.raw(size);
  if (!in.ok()) return {};
  return {FrameSplit::Kind::complete, body, frame_header_bytes + size};
}

}  // namespace sessionfs::sns
