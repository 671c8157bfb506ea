#include "engine/recv_buffer.hpp"

#include <algorithm>

namespace sessionfs {

RecvBuffer::RecvBuffer(std::unique_ptr<Memory> memory, const Position& position)
    : ring_(std::move(memory), position.start, static_cast<std::size_t>(position.held - position.read)),
      read_(position.read),
      held_(position.held) {}

RecvBuffer::Taken RecvBuffer::accept(std::uint64_t offset, std::span<const std::byte> data) {
  const std::uint64_t next = received();
  if (offset > next) return Taken::hole;
  if (data.size() > limit() - std::min(offset, limit())) return Taken::beyond_limit;
  const std::uint64_t known = next - offset;
  if (known >= data.size()) return Taken::ok;
  const auto fresh = data.subspan(static_cast<std::size_t>(known));
  return ring_.push(fresh) == fresh.size() ? Taken::ok : Taken::no_room;
}

void RecvBuffer::hold(std::uint64_t offset) { held_ = std::max(held_, std::min(offset, received())); }

Parts RecvBuffer::readable(std::size_t max) const { return ring_.peek(0, std::min(max, readable_bytes())); }

void RecvBuffer::consume(std::size_t count) {
  ring_.pop(count);
  read_ += count;
}

}  // namespace sessionfs
