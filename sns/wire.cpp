#include "sns/wire.hpp"

#include <algorithm>
#include <string_view>

#include "sns/wire_bytes.hpp"

namespace sessionfs::sns {
namespace {

// Longer than anything that parses as a certificate here; the limits of sns/identity.hpp are checked by who parses it.
constexpr std::size_t max_der_bytes = 8 * 1024;
constexpr std::uint64_t max_time_s = 253'402'300'799;  // the end of the year 9999
constexpr std::size_t usual_body_bytes = 128;          // most are shorter, and grow no more
constexpr std::string_view signature_context = "sessionfs sns request, version 1";

enum Field : unsigned {
  name = 1,
  residence = 2,
  addresses = 4,
  member = 8,
  signing_request = 16,
  port = 32,
  secret = 64,
  // of replies
  info = 128,
  lease = 256,
  certificate = 512,
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
    {Operation::new_ep, About::endpoint, true, name | residence | addresses | member | signing_request,
     lease | certificate},
    {Operation::change_ep, About::endpoint, true, name | residence | addresses | signing_request, lease | certificate},
    {Operation::del_ep, About::endpoint, true, name | residence, 0},
    {Operation::get_ep, About::endpoint, false, name, info},
    {Operation::new_service, About::service, true, name | residence | port, 0},
    {Operation::change_service, About::service, true, name | residence | port, 0},
    {Operation::del_service, About::service, true, name | residence, 0},
    {Operation::get_service, About::service, false, name, info},
    {Operation::join, About::nothing, false, secret | signing_request, member | certificate},
    {Operation::watch, About::endpoint, false, name, info},
    {Operation::unwatch, About::endpoint, false, name, 0},
};

const Row* row_of(std::uint8_t operation) {
  const auto* found =
      std::ranges::find(rows, operation, [](const Row& row) { return static_cast<std::uint8_t>(row.operation); });
  return found == std::end(rows) ? nullptr : found;
}

const Row& row_of(Operation operation) { return *row_of(static_cast<std::uint8_t>(operation)); }

void write_addresses(Writer& out, const std::vector<Address>& list) {
  out.number(static_cast<std::uint8_t>(list.size()));
  for (const Address& address : list) {
    out.number(static_cast<std::uint8_t>(address.family));
    out.raw(std::as_bytes(std::span(address.ip)).first(address.family == Family::v4 ? 4 : 16));
    out.number(address.port);
    out.number(static_cast<std::uint8_t>(address.protocol));
  }
}

std::vector<Address> read_addresses(Reader& in) {
  const auto count = in.number<std::uint8_t>();
  if (count > max_addresses) in.fail();
  std::vector<Address> list;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    Address address;
    const auto family = in.number<std::uint8_t>();
    if (family != 4 && family != 6) in.fail();
    address.family = static_cast<Family>(family);
    const auto ip = in.raw(address.family == Family::v4 ? 4 : 16);
    std::ranges::transform(ip, address.ip.begin(), [](std::byte one) { return std::to_integer<std::uint8_t>(one); });
    address.port = in.number<std::uint16_t>();
    if (in.number<std::uint8_t>() != static_cast<std::uint8_t>(Protocol::tls_tcp)) in.fail();
    list.push_back(address);
  }
  return list;
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
  body.reserve(usual_body_bytes);
  Writer out(body);
  out.number(wire_version);
  out.number(static_cast<std::uint8_t>(request.operation));
  out.number(request.id);
  if ((fields & name) != 0) out.field<std::uint16_t>(as_bytes(request.name));
  if ((fields & residence) != 0) {
    out.number(request.residence.generation);
    out.raw(request.residence.mark);
  }
  if ((fields & addresses) != 0) write_addresses(out, request.addresses);
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
  if ((row->asked & residence) != 0) {
    request.residence.generation = in.number<std::uint64_t>();
    request.residence.mark = in.array<sizeof(ResidenceMark)>();
  }
  if ((row->asked & addresses) != 0) request.addresses = read_addresses(in);
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
  body.reserve(usual_body_bytes);
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
    out.number(static_cast<std::uint64_t>(reply.info.away_since ? to_seconds(*reply.info.away_since) : 0));
  }
  if ((row->answered & member) != 0) out.number(reply.member);
  if ((row->answered & lease) != 0) out.number(static_cast<std::uint32_t>(reply.lease.count()));
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
    const auto away = in.number<std::uint64_t>();
    if (away > max_time_s) in.fail();
    if (away != 0) reply.info.away_since = UnixTime(std::chrono::seconds(away));
  }
  if ((row->answered & member) != 0) reply.member = in.number<std::uint64_t>();
  if ((row->answered & lease) != 0) reply.lease = std::chrono::seconds(in.number<std::uint32_t>());
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

std::vector<std::byte> encode_addresses(const std::vector<Address>& list) {
  std::vector<std::byte> bytes;
  Writer out(bytes);
  write_addresses(out, list);
  return bytes;
}

std::optional<std::vector<Address>> decode_addresses(std::span<const std::byte> bytes) {
  Reader in(bytes);
  auto list = read_addresses(in);
  if (!in.done()) return std::nullopt;
  return list;
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
