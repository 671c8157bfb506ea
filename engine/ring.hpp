// A ring of bytes over Memory: what a send buffer and a receive buffer have in common.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "engine/memory.hpp"

namespace sessionfs {

/// Consecutive bytes of a ring: the second part is empty unless they wrap around its end.
using Parts = std::array<std::span<const std::byte>, 2>;

/// A first-in first-out queue of bytes with a fixed capacity. An empty ring starts again at the front of its
/// memory, so that a stream of small messages touches one page only.
class Ring {
 public:
  /// A ring above this many reserved bytes gives its memory back when trim() finds it empty.
  static constexpr std::size_t kept_when_empty_bytes = 16 * 1024;

  explicit Ring(std::unique_ptr<Memory> memory, std::size_t start = 0, std::size_t size = 0);

  [[nodiscard]] std::size_t capacity() const { return memory_->bytes().size(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t space() const { return capacity() - size_; }
  [[nodiscard]] std::size_t start() const { return start_; }

  /// Copies as much of `data` to the end as there is room for, and returns how much. Less than space() allows
  /// only where the memory could not be reserved.
  std::size_t push(std::span<const std::byte> data);

  /// `count` bytes from `offset` bytes behind the front. Valid until the next call that changes the ring.
  /// Requires offset + count <= size().
  [[nodiscard]] Parts peek(std::size_t offset, std::size_t count) const;

  /// Drops `count` bytes at the front. Requires count <= size().
  void pop(std::size_t count);

  /// Whether trim() would give memory back.
  [[nodiscard]] bool trimmable() const { return size_ == 0 && reserved_ > kept_when_empty_bytes; }
  void trim();

 private:
  bool reserve(std::size_t end);

  std::unique_ptr<Memory> memory_;
  std::size_t start_;
  std::size_t size_;
  std::size_t reserved_ = 0;
};

}  // namespace sessionfs
