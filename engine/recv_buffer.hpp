// The receiving half of a checkpointed stream: what has come in and the application has not yet read.
//
//   read <= held <= received <= limit
//
// `held` is what is stored as `durability` asks; only it is announced to the peer and only it is given to the
// application. `limit` is the highest offset the peer may send to (flow control, which the thesis leaves to TCP:
// 4.8.3), so that bytes nobody reads never stand in the way of control messages.
#pragma once

#include <cstdint>

#include "engine/ring.hpp"

namespace sessionfs {

class RecvBuffer {
 public:
  struct Position {
    std::uint64_t read = 0;
    std::uint64_t held = 0;
    std::size_t start = 0;  // where `read` lies in the memory
  };

  explicit RecvBuffer(std::unique_ptr<Memory> memory) : RecvBuffer(std::move(memory), Position{}) {}
  /// Goes on from a stored position over the same memory; what was received and not held is gone.
  RecvBuffer(std::unique_ptr<Memory> memory, const Position& position);

  [[nodiscard]] Position position() const { return {read_, held_, ring_.start()}; }
  [[nodiscard]] std::uint64_t read() const { return read_; }
  [[nodiscard]] std::uint64_t held() const { return held_; }
  [[nodiscard]] std::uint64_t received() const { return read_ + ring_.size(); }
  [[nodiscard]] std::uint64_t limit() const { return read_ + ring_.capacity(); }
  [[nodiscard]] std::size_t capacity() const { return ring_.capacity(); }

  enum class Taken : std::uint8_t { ok, hole, beyond_limit, no_room };
  /// Takes the bytes at `offset`, skipping what it has. A hole, or bytes beyond the limit, are the peer's violation;
  /// no_room: the memory could not be reserved, and some of the bytes were not taken.
  [[nodiscard]] Taken accept(std::uint64_t offset, std::span<const std::byte> data);

  /// Everything below `offset` is stored.
  void hold(std::uint64_t offset);

  /// All that the application has not read: received() - read() bytes.
  [[nodiscard]] Parts kept() const { return ring_.peek(0, ring_.size()); }
  /// What the application may read now, at most `max` bytes; consume() says how much of it was taken.
  [[nodiscard]] Parts readable(std::size_t max) const;
  [[nodiscard]] std::size_t readable_bytes() const { return static_cast<std::size_t>(held_ - read_); }
  /// Requires count <= readable_bytes().
  void consume(std::size_t count);

  [[nodiscard]] bool trimmable() const { return ring_.trimmable(); }
  void trim() { ring_.trim(); }

 private:
  Ring ring_;
  std::uint64_t read_;
  std::uint64_t held_;
};

}  // namespace sessionfs
