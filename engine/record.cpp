#include "engine/record.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "engine/bytes.hpp"

namespace sessionfs {
namespace {

constexpr std::uint32_t record_magic = 0x53465345;  // "SFSE"
constexpr std::uint16_t record_version = 2;
constexpr std::uint16_t version_without_sessions = 1;  // whose size of the body has four bytes
constexpr std::size_t head_bytes = 4 + 2 + 8 + 8;      // magic, version, size of the body, checksum of the body
constexpr std::size_t size_offset = 6;
constexpr std::size_t checksum_offset = 14;

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

void put(ByteWriter& out, const SessionRecord& session) {
  const auto image = encode(session.image);
  out.number(static_cast<std::uint32_t>(image.size()));
  out.raw(image);
  out.raw(session.sent);
  out.raw(session.received);
}

// The name that a session made here has, or one that came in.
bool is_named_well(const SessionImage& image) {
  if (image.creator) {
    const auto dial = DialName::parse(image.file_name);
    return dial && dial->str() == image.file_name &&
           dial->target == ServiceName{.service = image.service, .endpoint = image.peer};
  }
  constexpr std::size_t max_number_digits = 20;
  const std::string_view name = image.file_name;
  const std::size_t prefix = incoming_session_name(image.service, image.peer, 0).size() - 1;
  if (name.size() <= prefix || name.size() > prefix + max_number_digits) return false;
  return incoming_session_name(image.service, image.peer, 0).substr(0, prefix) == name.substr(0, prefix) &&
         std::ranges::all_of(name.substr(prefix), [](char c) { return c >= '0' && c <= '9'; });
}

// Whose sessions they are, and of which residence, is said by the record alone.
bool belongs_to(const EndpointRecord& record, const SessionImage& image) {
  return image.local == record.name && image.generation <= record.generation && image.attempt <= max_record_count &&
         image.sent.start == 0 && image.received.start == 0 && is_named_well(image);
}

std::optional<SessionRecord> take_session(ByteReader& in, const EndpointRecord& record) {
  const auto size = in.number<std::uint32_t>();
  if (!in.ok() || size > max_image_bytes) return std::nullopt;
  const auto image = decode_session_image(in.raw(size), max_kept_bytes);
  if (!image || !belongs_to(record, *image)) return std::nullopt;
  const auto sent = in.raw(static_cast<std::size_t>(image->sent.written - image->sent.acked));
  const auto received = in.raw(static_cast<std::size_t>(image->received.held - image->received.read));
  if (!in.ok()) return std::nullopt;
  return SessionRecord{*image, {sent.begin(), sent.end()}, {received.begin(), received.end()}};
}

std::vector<std::byte> bytes_of(const Parts& parts) {
  std::vector<std::byte> bytes(parts[0].begin(), parts[0].end());
  bytes.insert(bytes.end(), parts[1].begin(), parts[1].end());
  return bytes;
}

std::optional<EndpointRecord> decode_body(ByteReader& in, std::uint16_t version) {
  EndpointRecord record;
  const auto name = EndpointName::parse(in.text(max_whole_name_bytes));
  if (!name) return std::nullopt;
  record.name = *name;
  record.generation = in.number<std::uint64_t>();
  if (record.generation > max_record_count) return std::nullopt;
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
  const auto sessions = version > version_without_sessions ? in.number<std::uint32_t>() : 0;
  if (!in.ok() || sessions > max_record_sessions) return std::nullopt;
  std::set<std::pair<SessionId, bool>> ids;
  std::set<std::string, std::less<>> names;  // of a session that is detached it is free again
  for (std::uint32_t i = 0; i < sessions; ++i) {
    auto session = take_session(in, record);
    if (!session || !ids.emplace(session->image.id, session->image.creator).second) return std::nullopt;
    if (!session->image.detached && !names.insert(session->image.file_name).second) return std::nullopt;
    record.sessions.push_back(std::move(*session));
  }
  return in.done() ? std::optional(std::move(record)) : std::nullopt;
}

}  // namespace

SessionRecord record_of(const Session& session) {
  SessionRecord record{session.image(), bytes_of(session.send_buffer().kept()), bytes_of(session.recv_buffer().kept())};
  record.image.sent.start = record.image.received.start = 0;
  return record;
}

std::vector<std::byte> encode(const EndpointRecord& record) {
  std::vector<std::byte> bytes(head_bytes);
  ByteWriter out(bytes);
  out.text(record.name.str());
  out.number(record.generation);
  for (const auto* text : {&record.private_key, &record.certificate, &record.policy, &record.access}) out.text(*text);
  out.number(static_cast<std::uint32_t>(record.services.size()));
  for (const auto& service : record.services) out.text(service);
  out.number(static_cast<std::uint32_t>(record.tombstones.size()));
  for (const auto& tombstone : record.tombstones) put(out, tombstone);
  out.number(static_cast<std::uint32_t>(record.sessions.size()));
  for (const auto& session : record.sessions) put(out, session);

  const std::span head(bytes);
  const auto body = head.subspan(head_bytes);
  store_big_endian(head.subspan<0, 4>(), record_magic);
  store_big_endian(head.subspan<4, 2>(), record_version);
  store_big_endian(head.subspan<size_offset, 8>(), std::uint64_t{body.size()});
  store_big_endian(head.subspan<checksum_offset, 8>(), checksum(body));
  return bytes;
}

std::optional<EndpointRecord> decode_endpoint_record(std::span<const std::byte> bytes) {
  if (bytes.size() > max_record_bytes) return std::nullopt;
  ByteReader head(bytes);
  const auto magic = head.number<std::uint32_t>();
  const auto version = head.number<std::uint16_t>();
  if (!head.ok() || magic != record_magic || version == 0 || version > record_version) return std::nullopt;
  const bool is_short = version == version_without_sessions;
  const std::uint64_t size = is_short ? head.number<std::uint32_t>() : head.number<std::uint64_t>();
  const auto sum = head.number<std::uint64_t>();
  if (size > max_record_bytes) return std::nullopt;
  const auto body = head.raw(static_cast<std::size_t>(size));
  if (!head.ok() || sum != checksum(body)) return std::nullopt;
  ByteReader in(body);
  return decode_body(in, version);
}

}  // namespace sessionfs
