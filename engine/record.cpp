#include "engine/record.hpp"

#include <algorithm>

#include "engine/bytes.hpp"

namespace sessionfs {
namespace {

constexpr std::uint32_t record_magic = 0x53465345;  // "SFSE"
constexpr std::uint16_t record_version = 1;
constexpr std::size_t head_bytes = 4 + 2 + 4 + 8;  // magic, version, size of the body, checksum of the body

void put(ByteWriter& out, const Tombstone& tombstone) {
  out.raw(std::as_bytes(std::span(tombstone.id.bytes)));
  out.text(tombstone.peer.str());
  out.number(static_cast<std::uint8_t>(tombstone.creator));
  out.number(tombstone.held);
  out.number(tombstone.end);
}

std::optional<Tombstone> take_tombstone(ByteReader& in) {
  Tombstone tombstone;
  const auto id = in.raw(tombstone.id.bytes.size());
  const auto peer = EndpointName::parse(in.text(max_whole_name_bytes));
  if (!in.ok() || !peer) return std::nullopt;
  std::ranges::transform(id, tombstone.id.bytes.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  tombstone.peer = *peer;
  tombstone.creator = in.number<std::uint8_t>() != 0;
  tombstone.held = in.number<std::uint64_t>();
  tombstone.end = in.number<std::uint64_t>();
  return tombstone;
}

std::optional<EndpointRecord> decode_body(ByteReader& in) {
  EndpointRecord record;
  const auto name = EndpointName::parse(in.text(max_whole_name_bytes));
  if (!name) return std::nullopt;
  record.name = *name;
  record.generation = in.number<std::uint64_t>();
  record.private_key = in.text(max_key_bytes);
  record.certificate = in.text(max_key_bytes);
  record.policy = in.text(max_rules_bytes);
  record.access = in.text(max_rules_bytes);
  const auto services = in.number<std::uint32_t>();
  if (!in.ok() || services > max_record_services) return std::nullopt;
  for (std::uint32_t i = 0; i < services; ++i) {
    auto service = parse_service_part(in.text(max_service_bytes));
    if (!service) return std::nullopt;
    record.services.push_back(std::move(*service));
  }
  const auto tombstones = in.number<std::uint32_t>();
  if (!in.ok() || tombstones > max_tombstones) return std::nullopt;
  for (std::uint32_t i = 0; i < tombstones; ++i) {
    auto tombstone = take_tombstone(in);
    if (!tombstone) return std::nullopt;
    record.tombstones.push_back(std::move(*tombstone));
  }
  return in.done() ? std::optional(std::move(record)) : std::nullopt;
}

}  // namespace

std::vector<std::byte> encode(const EndpointRecord& record) {
  std::vector<std::byte> body;
  ByteWriter out(body);
  out.text(record.name.str());
  out.number(record.generation);
  for (const auto* text : {&record.private_key, &record.certificate, &record.policy, &record.access}) out.text(*text);
  out.number(static_cast<std::uint32_t>(record.services.size()));
  for (const auto& service : record.services) out.text(service);
  out.number(static_cast<std::uint32_t>(record.tombstones.size()));
  for (const auto& tombstone : record.tombstones) put(out, tombstone);

  std::vector<std::byte> bytes;
  bytes.reserve(head_bytes + body.size());
  ByteWriter whole(bytes);
  whole.number(record_magic);
  whole.number(record_version);
  whole.number(static_cast<std::uint32_t>(body.size()));
  whole.number(checksum(body));
  whole.raw(body);
  return bytes;
}

std::optional<EndpointRecord> decode_endpoint_record(std::span<const std::byte> bytes) {
  if (bytes.size() > max_record_bytes) return std::nullopt;
  ByteReader head(bytes);
  const auto magic = head.number<std::uint32_t>();
  const auto version = head.number<std::uint16_t>();
  const auto size = head.number<std::uint32_t>();
  const auto sum = head.number<std::uint64_t>();
  const auto body = head.raw(size);
  if (!head.ok() || magic != record_magic || version != record_version || sum != checksum(body)) return std::nullopt;
  ByteReader in(body);
  return decode_body(in);
}

}  // namespace sessionfs
