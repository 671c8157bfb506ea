// The sending half of a checkpointed stream: what the application has written and the peer does not yet hold.
//
//   acked <= sent <= written, and sent <= limit
//
// Offsets are absolute: counted from the session's first byte, 64 bits, never reset (they replace the positions
// relative to a checkpoint of thesis 3.4.1 and 4.6). Bytes below `acked` are held by the peer for good and forgotten
// here; all others can be sent again after rewind().
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/ring.hpp"

namespace sessionfs {

class SendBuffer {
 public:
  struct Position {
    std::uint64_t acked = 0;
    std::uint64_t written = 0;
    std::size_t start = 0;  // where `acked` lies in the memory
  };

  explicit SendBuffer(std::unique_ptr<Memory> memory) : SendBuffer(std::move(memory), Position{}) {}
  /// Goes on from a stored position over the same memory.
  SendBuffer(std::unique_ptr<Memory> memory, const Position& position);

  [[nodiscard]] Position position() const { return {acked_, written(), ring_.start()}; }
  [[nodiscard]] std::uint64_t acked() const { return acked_; }
  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t written() const { return acked_ + ring_.size(); }
  [[nodiscard]] std::uint64_t limit() const { return limit_; }
  /// Bytes that were sent and, after a rewind, are to be sent again; each as often.
  [[nodiscard]] std::uint64_t resent() const { return resent_; }
  [[nodiscard]] std::size_t space() const { return ring_.space(); }
  [[nodiscard]] std::size_t capacity() const { return ring_.capacity(); }

  /// Appends what fits of `data`; returns how much that was.
  std::size_t write(std::span<const std::byte> data) { return ring_.push(data); }

  /// The peer holds everything below `held`, and takes bytes below `limit`. Neither ever goes back: an older value
  /// changes nothing. False when the peer claims bytes that were never written, or beyond its own limit: a violation.
  [[nodiscard]] bool acknowledge(std::uint64_t held, std::uint64_t limit);

  /// A new connection: sending starts again at `held`, and `limit` is what the peer takes now.
  /// False when the bytes from `held` on are gone, or were never written: the stream cannot be continued.
  [[nodiscard]] bool rewind(std::uint64_t held, std::uint64_t limit);

  struct Chunk {
    std::uint64_t offset = 0;
    Parts parts;
    [[nodiscard]] std::size_t size() const { return parts[0].size() + parts[1].size(); }
  };
  /// The next bytes to send, at most `max`; counted as sent. Empty when there are none or the limit is reached.
  Chunk poll_transmit(std::size_t max);
  /// All that the peer may not hold: written() - acked() bytes.
  [[nodiscard]] Parts kept() const { return ring_.peek(0, ring_.size()); }
  [[nodiscard]] bool has_unsent() const { return sent_ < std::min(written(), limit_); }

  [[nodiscard]] bool trimmable() const { return ring_.trimmable(); }
  void trim() { ring_.trim(); }

 private:
  Ring ring_;
  std::uint64_t acked_;
  std::uint64_t sent_;
  std::uint64_t limit_;
  std::uint64_t resent_ = 0;
};

}  // namespace sessionfs
