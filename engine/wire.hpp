// The session protocol's messages as bytes (thesis 3.7; PROTOCOL.md says what they mean).
//
// A frame is {type: 1 byte, payload size: 3 bytes, payload}; numbers are big-endian. All frames travel inside one
// TLS connection, whose certificates name both endpoints, so that no message carries a name that is not proven.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "engine/name.hpp"

namespace sessionfs {

inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::size_t frame_header_bytes = 4;
inline constexpr std::size_t max_control_payload_bytes = 256;
inline constexpr std::size_t data_header_bytes = 8;  // the offset, at the front of a DATA payload
inline constexpr std::size_t max_data_bytes = 256 * 1024;

/// Names a session for its whole life: 128 random bits chosen by its creator (thesis 3.7.1, the session handle).
struct SessionId {
  std::array<std::uint8_t, 16> bytes{};

  [[nodiscard]] std::string hex() const;
  friend auto operator<=>(const SessionId&, const SessionId&) = default;
};

enum class MessageType : std::uint8_t {
  connect = 1,
  connect_ok,
  connect_denied,
  data,
  checkpoint,
  finish,
  close,
  suspend,
  resume,
  resume_ok,
  resume_denied,
  ping,
  abort,
  handoff,
  handoff_ok,
  handoff_denied,
  handoff_taken,
};

/// What a side says of the two directions of a stream: how far it holds the peer's for good, and how far the peer may
/// send.
struct Progress {
  std::uint64_t held = 0;
  std::uint64_t limit = 0;
  bool has_finish = false;  // it knows where the peer's direction ends, and holds all of it
  bool has_close = false;   // the peer's CLOSE has come, whether or not all before it has

  friend bool operator==(const Progress&, const Progress&) = default;
};

enum class ConnectDenial : std::uint8_t { no_service = 1, access, backlog_full, not_here, version };

enum class ResumeDenial : std::uint8_t {
  suspended = 1,  // the other side's user will resume
  collision,      // the other side is resuming, and it created the session
  not_here,       // the endpoint does not reside at this host
  superseded,     // a higher generation of the resuming endpoint is known
  closed,         // the session has ended; the final offsets follow
  unknown,        // no such session
  gap,            // the offset asked for is gone
  stale,          // an attempt or generation already replaced by a newer one
  version,
};

struct Connect {
  std::uint16_t version = protocol_version;
  SessionId id;
  std::uint64_t generation = 0;
  std::uint64_t limit = 0;
  std::string service;
};
struct ConnectOk {
  std::uint64_t generation = 0;
  std::uint64_t limit = 0;
  std::uint64_t attempt = 0;  // as in RESUME_OK: it may have tried to resume before CONNECT was repeated
};
struct ConnectDenied {
  ConnectDenial reason{};
};
struct Checkpoint {
  Progress progress;
};
/// This direction ends at `offset`.
struct Finish {
  std::uint64_t offset = 0;
};
/// This direction ends at `offset`, and nobody here reads the other one any more.
struct Close {
  std::uint64_t offset = 0;
};
struct Suspend {};
struct Resume {
  std::uint16_t version = protocol_version;
  SessionId id;
  std::uint64_t generation = 0;
  std::uint64_t attempt = 0;
  bool from_creator = false;  // which of the session's two sides asks: both may be one endpoint
  Progress progress;
  std::uint64_t source = 0;  // the generation of the other side's residence with which it has held what it holds
};
struct ResumeOk {
  std::uint64_t generation = 0;
  std::uint64_t attempt = 0;  // the last of the answering side's own: it has given up all up to this one
  Progress progress;
  std::uint64_t source = 0;  // as in RESUME; before this one
};
struct ResumeDenied {
  ResumeDenial reason{};
  std::uint64_t held = 0;        // how far the refuser holds the asker's stream
  std::uint64_t end = 0;         // closed: where the refuser's own direction ended
  std::uint64_t generation = 0;  // of the refuser's residence; 0: it does not reside there
};
/// Why a residence does not hand its endpoint over.
enum class HandoffDenial : std::uint8_t {
  not_here = 1,  // it does not reside at this host
  not_newer,     // the asker's generation is not higher than the one here
  busy,          // it is just being saved, or handed over to somebody else
  version,
};

/// Asks for the latest state of the endpoint that both certificates name, for its residence of `generation`.
struct Handoff {
  std::uint16_t version = protocol_version;
  std::uint64_t generation = 0;
};
/// The record follows, in DATA from offset 0 to `size`; it is the state of `generation`.
struct HandoffOk {
  std::uint64_t generation = 0;
  std::uint64_t size = 0;
};
struct HandoffDenied {
  HandoffDenial reason{};
  std::uint64_t generation = 0;  // of the refuser's residence; 0: it does not reside there
};
/// The record is stored at its new residence.
struct HandoffTaken {};
/// Asks for a CHECKPOINT at once.
struct Ping {};
struct Abort {};

using Message = std::variant<Connect, ConnectOk, ConnectDenied, Checkpoint, Finish, Close, Suspend, Resume, ResumeOk,
                             ResumeDenied, Ping, Abort, Handoff, HandoffOk, HandoffDenied, HandoffTaken>;

/// A control frame, ready to be sent.
class Frame {
 public:
  static constexpr std::size_t max_bytes = frame_header_bytes + max_control_payload_bytes;

  Frame() = default;
  explicit Frame(const Message& message);

  [[nodiscard]] std::span<const std::byte> bytes() const { return std::span(bytes_).first(size_); }

 private:
  std::array<std::byte, max_bytes> bytes_{};
  std::size_t size_ = 0;
};

/// The header of a DATA frame of `size` bytes (at most max_data_bytes) at `offset`; the bytes follow it.
std::array<std::byte, frame_header_bytes + data_header_bytes> data_header(std::uint64_t offset, std::size_t size);

/// Cuts the bytes of a connection into messages. DATA is handed on as it comes, without waiting for its frame's end.
class FrameReader {
 public:
  struct DataPart {
    std::uint64_t offset = 0;
    std::span<const std::byte> bytes;  // points into the input
  };
  struct NeedMore {};
  struct Violation {
    const char* what = "";
  };
  using Event = std::variant<NeedMore, DataPart, Message, Violation>;

  /// The next event, taking from the front of `input`. NeedMore only when all of it has been taken.
  /// After a Violation the reader must not be used any more.
  Event next(std::span<const std::byte>& input);

 private:
  bool fill(std::span<const std::byte>& input, std::size_t wanted);

  std::array<std::byte, Frame::max_bytes> pending_{};
  std::size_t pending_size_ = 0;
  std::uint64_t data_offset_ = 0;
  std::size_t data_left_ = 0;
};

/// Decodes one control payload; nothing when it is malformed. Every byte must be accounted for.
std::optional<Message> decode(MessageType type, std::span<const std::byte> payload);

}  // namespace sessionfs
