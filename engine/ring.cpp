#include "engine/ring.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sessionfs {
namespace {

// Memory is reserved in steps of powers of two from here on, so that a growing buffer asks seldom.
constexpr std::size_t first_reserve_bytes = 4096;

}  // namespace

Ring::Ring(std::unique_ptr<Memory> memory, std::size_t start, std::size_t size)
    : memory_(std::move(memory)), start_(start), size_(size) {
  if (size_ > 0) reserve(std::min(capacity(), start_ + size_));
}

bool Ring::reserve(std::size_t end) {
  if (end <= reserved_) return true;
  const std::size_t wanted = std::min(capacity(), std::max(first_reserve_bytes, std::bit_ceil(end)));
  if (!memory_->reserve(wanted)) return false;
  reserved_ = wanted;
  return true;
}

std::size_t Ring::push(std::span<const std::byte> data) {
  const auto bytes = memory_->bytes();
  if (size_ == 0) start_ = 0;
  std::size_t done = 0;
  while (done < data.size() && size_ < bytes.size()) {
    const std::size_t at = (start_ + size_) % bytes.size();
    const std::size_t run = std::min({data.size() - done, bytes.size() - size_, bytes.size() - at});
    if (!reserve(at + run)) break;
    std::memcpy(bytes.data() + at, data.data() + done, run);
    size_ += run;
    done += run;
  }
  return done;
}

Parts Ring::peek(std::size_t offset, std::size_t count) const {
  const std::span<const std::byte> bytes = memory_->bytes();
  if (count == 0) return {};
  const std::size_t at = (start_ + offset) % bytes.size();
  const std::size_t first = std::min(count, bytes.size() - at);
  return {bytes.subspan(at, first), bytes.subspan(0, count - first)};
}

void Ring::pop(std::size_t count) {
  start_ = (start_ + count) % capacity();
  size_ -= count;
}

void Ring::trim() {
  if (!trimmable()) return;
  memory_->release();
  reserved_ = 0;
  start_ = 0;
}

}  // namespace sessionfs
