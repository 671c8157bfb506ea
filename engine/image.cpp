#include "engine/image.hpp"

#include <algorithm>
#include <utility>

#include "engine/bytes.hpp"

namespace sessionfs {
namespace {

constexpr std::uint32_t image_magic = 0x53465349;  // "SFSI"
constexpr std::uint16_t image_version = 2;
constexpr std::uint16_t version_without_residences = 1;
// Far from the end of 64 bits, so that no sum of an offset and a buffer's size goes round.
constexpr std::uint64_t max_stream_offset = std::uint64_t{1} << 62;

void put_end(ByteWriter& out, const std::optional<std::uint64_t>& end) {
  out.number(static_cast<std::uint8_t>(end.has_value()));
  out.number(end.value_or(0));
}

std::optional<std::uint64_t> take_end(ByteReader& in) {
  const bool known = in.number<std::uint8_t>() != 0;
  const auto offset = in.number<std::uint64_t>();
  return known ? std::optional(offset) : std::nullopt;
}

std::optional<SessionImage::Loaded> take_loaded(ByteReader& in) {
  SessionImage::Loaded loaded;
  loaded.settled = in.number<std::uint8_t>() != 0;
  loaded.acked = in.number<std::uint64_t>();
  const std::size_t count = in.number<std::uint8_t>();
  if (count > max_loaded_marks) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    const auto generation = in.number<std::uint64_t>();
    loaded.marks.push_back({generation, in.number<std::uint64_t>()});
  }
  return loaded;
}

bool is_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f && c != '/'; });
}

bool possible(const SessionImage& image, std::size_t capacity) {
  const auto& s = image.sent;
  const auto& r = image.received;
  if (s.written > max_stream_offset || r.held > max_stream_offset) return false;
  // No byte is written behind the end, and none was held.
  if (image.end && *image.end != s.written) return false;
  if (image.peer_end && *image.peer_end < r.held) return false;
  std::uint64_t last = image.loaded.acked;
  for (const auto& mark : image.loaded.marks) {
    if (mark.written < last || mark.generation > image.generation) return false;
    last = mark.written;
  }
  if (image.loaded.acked > s.acked || last > s.written) return false;
  if (!is_file_name(image.file_name)) return false;
  return s.acked <= s.written && s.written - s.acked <= capacity && s.start < capacity && r.read <= r.held &&
         r.held - r.read <= capacity && r.start < capacity;
}

}  // namespace

void SessionImage::mark_loaded() {
  auto& marks = loaded.marks;
  if (marks.empty()) loaded.acked = sent.acked;
  if (std::exchange(loaded.settled, false)) marks.clear();
  if (marks.empty() || marks.back().generation != generation) marks.push_back({generation, sent.written});
  if (marks.size() > max_loaded_marks) marks.erase(marks.begin() + 1);
  if (failure == Failure::superseded) {
    // There; here it may go on, if the peer has not gone on elsewhere.
    failure = Failure::none;
    closed = false;
  }
}

void SessionImage::enter(std::uint64_t new_generation) {
  if (new_generation <= generation) return;
  mark_loaded();
  generation = new_generation;
}

std::uint64_t checksum(std::span<const std::byte> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const auto byte : bytes) hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
  return hash;
}

std::vector<std::byte> encode(const SessionImage& image) {
  std::vector<std::byte> bytes;
  bytes.reserve(max_image_bytes);
  ByteWriter out(bytes);
  out.number(image_magic);
  out.number(image_version);
  out.raw(std::as_bytes(std::span(image.id.bytes)));
  out.text(image.local.str());
  out.text(image.peer.str());
  out.text(image.service);
  out.text(image.file_name);
  for (const bool flag : {image.creator, image.connecting, image.accepted, image.detached, image.suspended,
                          image.closed, image.end_acked, image.peer_closed})
    out.number(static_cast<std::uint8_t>(flag));
  out.number(static_cast<std::uint8_t>(image.failure));
  for (const auto number : {image.generation, image.peer_generation, image.attempt, image.peer_attempt,
                            image.sent.acked, image.sent.written, std::uint64_t{image.sent.start}, image.received.read,
                            image.received.held, std::uint64_t{image.received.start}})
    out.number(number);
  put_end(out, image.end);
  put_end(out, image.peer_end);
  out.number(image.source);
  out.number(static_cast<std::uint8_t>(image.loaded.settled));
  out.number(image.loaded.acked);
  out.number(static_cast<std::uint8_t>(image.loaded.marks.size()));
  for (const auto& mark : image.loaded.marks) {
    out.number(mark.generation);
    out.number(mark.written);
  }
  out.number(checksum(bytes));
  return bytes;
}

std::optional<SessionImage> decode_session_image(std::span<const std::byte> bytes, std::size_t capacity) {
  if (bytes.size() < sizeof(std::uint64_t)) return std::nullopt;
  const auto body = bytes.first(bytes.size() - sizeof(std::uint64_t));
  if (load_big_endian<std::uint64_t>(bytes.last(sizeof(std::uint64_t))) != checksum(body)) return std::nullopt;
  ByteReader in(body);
  const auto magic = in.number<std::uint32_t>();
  const auto version = in.number<std::uint16_t>();
  if (magic != image_magic || version == 0 || version > image_version) return std::nullopt;
  SessionImage image;
  const auto id = in.raw(image.id.bytes.size());
  if (!in.ok()) return std::nullopt;
  std::ranges::transform(id, image.id.bytes.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  const auto local = EndpointName::parse(in.text(max_whole_name_bytes));
  const auto peer = EndpointName::parse(in.text(max_whole_name_bytes));
  const auto service = parse_service_part(in.text(max_service_bytes));
  if (!local || !peer || !service) return std::nullopt;
  image.local = *local;
  image.peer = *peer;
  image.service = *service;
  image.file_name = in.text(max_file_name_bytes);
  for (bool* flag : {&image.creator, &image.connecting, &image.accepted, &image.detached, &image.suspended,
                     &image.closed, &image.end_acked, &image.peer_closed})
    *flag = in.number<std::uint8_t>() != 0;
  image.failure = static_cast<Failure>(in.number<std::uint8_t>());
  for (auto* number : {&image.generation, &image.peer_generation, &image.attempt, &image.peer_attempt,
                       &image.sent.acked, &image.sent.written})
    *number = in.number<std::uint64_t>();
  image.sent.start = static_cast<std::size_t>(in.number<std::uint64_t>());
  image.received.read = in.number<std::uint64_t>();
  image.received.held = in.number<std::uint64_t>();
  image.received.start = static_cast<std::size_t>(in.number<std::uint64_t>());
  image.end = take_end(in);
  image.peer_end = take_end(in);
  image.source = image.peer_generation;
  if (version > version_without_residences) {
    image.source = in.number<std::uint64_t>();
    auto loaded = take_loaded(in);
    if (!loaded) return std::nullopt;
    image.loaded = std::move(*loaded);
  }
  if (!in.done() || image.failure > Failure::superseded || !possible(image, capacity)) return std::nullopt;
  return image;
}

}  // namespace sessionfs
