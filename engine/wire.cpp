#include "engine/wire.hpp"

#include <algorithm>
#include <vector>

#include "engine/bytes.hpp"

namespace sessionfs {
namespace {

constexpr std::uint8_t flag_finish = 1;
constexpr std::uint8_t flag_close = 2;

void put(ByteWriter& out, const Progress& progress) {
  out.number(progress.held);
  out.number(progress.limit);
  out.number(
      static_cast<std::uint8_t>((progress.has_finish ? flag_finish : 0) | (progress.has_close ? flag_close : 0)));
}

std::optional<Progress> take_progress(ByteReader& in) {
  Progress progress;
  progress.held = in.number<std::uint64_t>();
  progress.limit = in.number<std::uint64_t>();
  const auto flags = in.number<std::uint8_t>();
  const bool known = (flags & ~(flag_finish | flag_close)) == 0;
  if (!in.ok() || !known || progress.limit < progress.held) return std::nullopt;
  progress.has_finish = (flags & flag_finish) != 0;
  progress.has_close = (flags & flag_close) != 0;
  return progress;
}

void put(ByteWriter& out, const SessionId& id) { out.raw(std::as_bytes(std::span(id.bytes))); }

SessionId take_id(ByteReader& in) {
  SessionId id;
  const auto bytes = in.raw(id.bytes.size());
  if (in.ok())
    std::ranges::transform(bytes, id.bytes.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  return id;
}

struct Encoder {
  ByteWriter& out;

  MessageType operator()(const Connect& m) const {
    out.number(m.version);
    put(out, m.id);
    out.number(m.generation);
    out.number(m.limit);
    out.text(m.service);
    return MessageType::connect;
  }
  MessageType operator()(const ConnectOk& m) const {
    out.number(m.generation);
    out.number(m.limit);
    out.number(m.attempt);
    return MessageType::connect_ok;
  }
  MessageType operator()(const ConnectDenied& m) const {
    out.number(static_cast<std::uint8_t>(m.reason));
    return MessageType::connect_denied;
  }
  MessageType operator()(const Checkpoint& m) const {
    put(out, m.progress);
    return MessageType::checkpoint;
  }
  MessageType operator()(const Finish& m) const {
    out.number(m.offset);
    return MessageType::finish;
  }
  MessageType operator()(const Close& m) const {
    out.number(m.offset);
    return MessageType::close;
  }
  MessageType operator()(const Suspend&) const { return MessageType::suspend; }
  MessageType operator()(const Resume& m) const {
    out.number(m.version);
    put(out, m.id);
    out.number(m.generation);
    out.number(m.attempt);
    out.number(static_cast<std::uint8_t>(m.from_creator));
    put(out, m.progress);
    out.number(m.source);
    return MessageType::resume;
  }
  MessageType operator()(const ResumeOk& m) const {
    out.number(m.generation);
    out.number(m.attempt);
    put(out, m.progress);
    out.number(m.source);
    return MessageType::resume_ok;
  }
  MessageType operator()(const ResumeDenied& m) const {
    out.number(static_cast<std::uint8_t>(m.reason));
    out.number(m.held);
    out.number(m.end);
    out.number(m.generation);
    return MessageType::resume_denied;
  }
  MessageType operator()(const Ping&) const { return MessageType::ping; }
  MessageType operator()(const Abort&) const { return MessageType::abort; }
  MessageType operator()(const Handoff& m) const {
    out.number(m.version);
    out.number(m.generation);
    return MessageType::handoff;
  }
  MessageType operator()(const HandoffOk& m) const {
    out.number(m.generation);
    out.number(m.size);
    return MessageType::handoff_ok;
  }
  MessageType operator()(const HandoffDenied& m) const {
    out.number(static_cast<std::uint8_t>(m.reason));
    out.number(m.generation);
    return MessageType::handoff_denied;
  }
  MessageType operator()(const HandoffTaken&) const { return MessageType::handoff_taken; }
};

void put_header(std::span<std::byte> to, MessageType type, std::size_t payload) {
  store_big_endian(to.first<4>(), static_cast<std::uint32_t>(static_cast<std::size_t>(type) << 24 | payload));
}

std::optional<Message> decode_connect(ByteReader& in) {
  Connect m;
  m.version = in.number<std::uint16_t>();
  m.id = take_id(in);
  m.generation = in.number<std::uint64_t>();
  m.limit = in.number<std::uint64_t>();
  auto service = parse_service_part(in.text(max_service_bytes));
  if (!service) return std::nullopt;
  m.service = std::move(*service);
  return m;
}

std::optional<Message> decode_resume(ByteReader& in) {
  Resume m;
  m.version = in.number<std::uint16_t>();
  m.id = take_id(in);
  m.generation = in.number<std::uint64_t>();
  m.attempt = in.number<std::uint64_t>();
  const auto from_creator = in.number<std::uint8_t>();
  m.from_creator = from_creator == 1;
  const auto progress = take_progress(in);
  if (!progress || from_creator > 1) return std::nullopt;
  m.progress = *progress;
  m.source = in.number<std::uint64_t>();
  return m;
}

std::optional<Message> decode_handoff_fields(MessageType type, ByteReader& in) {
  if (type == MessageType::handoff) {
    const auto version = in.number<std::uint16_t>();
    return Handoff{version, in.number<std::uint64_t>()};
  }
  if (type == MessageType::handoff_ok) {
    const auto generation = in.number<std::uint64_t>();
    return HandoffOk{generation, in.number<std::uint64_t>()};
  }
  if (type == MessageType::handoff_taken) return HandoffTaken{};
  const auto reason = in.number<std::uint8_t>();
  if (reason < 1 || reason > static_cast<std::uint8_t>(HandoffDenial::version)) return std::nullopt;
  return HandoffDenied{static_cast<HandoffDenial>(reason), in.number<std::uint64_t>()};
}

std::optional<Message> decode_fields(MessageType type, ByteReader& in) {
  switch (type) {
    case MessageType::connect:
      return decode_connect(in);
    case MessageType::connect_ok: {
      ConnectOk m;
      m.generation = in.number<std::uint64_t>();
      m.limit = in.number<std::uint64_t>();
      m.attempt = in.number<std::uint64_t>();
      return m;
    }
    case MessageType::connect_denied: {
      const auto reason = in.number<std::uint8_t>();
      if (reason < 1 || reason > static_cast<std::uint8_t>(ConnectDenial::version)) return std::nullopt;
      return ConnectDenied{static_cast<ConnectDenial>(reason)};
    }
    case MessageType::checkpoint: {
      const auto progress = take_progress(in);
      if (!progress) return std::nullopt;
      return Checkpoint{*progress};
    }
    case MessageType::finish:
      return Finish{in.number<std::uint64_t>()};
    case MessageType::close:
      return Close{in.number<std::uint64_t>()};
    case MessageType::suspend:
      return Suspend{};
    case MessageType::resume:
      return decode_resume(in);
    case MessageType::resume_ok: {
      const auto generation = in.number<std::uint64_t>();
      const auto attempt = in.number<std::uint64_t>();
      const auto progress = take_progress(in);
      if (!progress) return std::nullopt;
      return ResumeOk{generation, attempt, *progress, in.number<std::uint64_t>()};
    }
    case MessageType::resume_denied: {
      const auto reason = in.number<std::uint8_t>();
      if (reason < 1 || reason > static_cast<std::uint8_t>(ResumeDenial::version)) return std::nullopt;
      const auto held = in.number<std::uint64_t>();
      const auto end = in.number<std::uint64_t>();
      const auto generation = in.number<std::uint64_t>();
      return ResumeDenied{static_cast<ResumeDenial>(reason), held, end, generation};
    }
    case MessageType::ping:
      return Ping{};
    case MessageType::abort:
      return Abort{};
    case MessageType::handoff:
    case MessageType::handoff_ok:
    case MessageType::handoff_denied:
    case MessageType::handoff_taken:
      return decode_handoff_fields(type, in);
    case MessageType::data:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::string SessionId::hex() const {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const auto byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

Frame::Frame(const Message& message) {
  std::vector<std::byte> payload;
  payload.reserve(max_control_payload_bytes);
  ByteWriter writer(payload);
  const MessageType type = std::visit(Encoder{writer}, message);
  put_header(bytes_, type, payload.size());
  std::ranges::copy(payload, bytes_.begin() + frame_header_bytes);
  size_ = frame_header_bytes + payload.size();
}

std::array<std::byte, frame_header_bytes + data_header_bytes> data_header(std::uint64_t offset, std::size_t size) {
  std::array<std::byte, frame_header_bytes + data_header_bytes> header{};
  put_header(header, MessageType::data, data_header_bytes + size);
  store_big_endian(std::span(header).subspan<frame_header_bytes, data_header_bytes>(), offset);
  return header;
}

std::optional<Message> decode(MessageType type, std::span<const std::byte> payload) {
  ByteReader in(payload);
  auto message = decode_fields(type, in);
  return in.done() ? message : std::nullopt;
}

bool FrameReader::fill(std::span<const std::byte>& input, std::size_t wanted) {
  if (pending_size_ < wanted) {
    const std::size_t count = std::min(wanted - pending_size_, input.size());
    std::ranges::copy(input.first(count), pending_.begin() + static_cast<std::ptrdiff_t>(pending_size_));
    pending_size_ += count;
    input = input.subspan(count);
  }
  return pending_size_ >= wanted;
}

FrameReader::Event FrameReader::next(std::span<const std::byte>& input) {
  if (data_left_ > 0) {
    if (input.empty()) return NeedMore{};
    const std::size_t count = std::min(data_left_, input.size());
    const DataPart part{data_offset_, input.first(count)};
    input = input.subspan(count);
    data_offset_ += count;
    data_left_ -= count;
    return part;
  }
  if (!fill(input, frame_header_bytes)) return NeedMore{};
  const auto header = load_big_endian<std::uint32_t>(std::span(pending_).first<frame_header_bytes>());
  const auto type = static_cast<MessageType>(header >> 24);
  const std::size_t size = header & 0xffffff;
  const bool is_data = type == MessageType::data;
  if (is_data && (size <= data_header_bytes || size > data_header_bytes + max_data_bytes))
    return Violation{"a DATA frame of a size that is not allowed"};
  if (!is_data && size > max_control_payload_bytes) return Violation{"a frame that is too large"};
  if (!fill(input, frame_header_bytes + (is_data ? data_header_bytes : size))) return NeedMore{};
  const std::span<const std::byte> payload =
      std::span(pending_).subspan(frame_header_bytes, pending_size_ - frame_header_bytes);
  pending_size_ = 0;
  if (is_data) {
    data_offset_ = load_big_endian<std::uint64_t>(payload);
    data_left_ = size - data_header_bytes;
    return next(input);
  }
  auto message = decode(type, payload);
  if (!message) return Violation{"a malformed frame"};
  return std::move(*message);
}

}  // namespace sessionfs
