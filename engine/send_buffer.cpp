#include "engine/send_buffer.hpp"

#include <algorithm>

namespace sessionfs {

SendBuffer::SendBuffer(std::unique_ptr<Memory> memory, const Position& position)
    : ring_(std::move(memory), position.start, static_cast<std::size_t>(position.written - position.acked)),
      acked_(position.acked),
      sent_(position.acked),
      limit_(position.acked) {}

bool SendBuffer::acknowledge(std::uint64_t held, std::uint64_t limit) {
  if (held > written() || held > limit) return false;
  if (held > acked_) {
    ring_.pop(static_cast<std::size_t>(held - acked_));
    acked_ = held;
    sent_ = std::max(sent_, held);  // it came over an earlier connection, and was stored since
  }
  limit_ = std::max(limit_, limit);
  return true;
}

bool SendBuffer::rewind(std::uint64_t held, std::uint64_t limit) {
  if (held < acked_ || held > written()) return false;
  ring_.pop(static_cast<std::size_t>(held - acked_));
  acked_ = held;
  resent_ += sent_ - std::min(sent_, held);
  sent_ = held;
  limit_ = limit;
  return true;
}

SendBuffer::Chunk SendBuffer::poll_transmit(std::size_t max) {
  const std::uint64_t end = std::min(written(), limit_);
  if (sent_ >= end) return {};
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(end - sent_, max));
  Chunk chunk{sent_, ring_.peek(static_cast<std::size_t>(sent_ - acked_), count)};
  sent_ += count;
  return chunk;
}

}  // namespace sessionfs
