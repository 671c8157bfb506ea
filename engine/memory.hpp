// The memory behind a stream's buffer. The engine fills it; where it lies is the driver's business
// (a mapped state file, so that its content outlives the process; the heap in tests).
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace sessionfs {

class Memory {
 public:
  virtual ~Memory() = default;

  /// All of it: the buffer's capacity. The address never changes.
  virtual std::span<std::byte> bytes() noexcept = 0;

  /// The first `count` bytes will be used from now on. False: there is no room for them (a full disk).
  virtual bool reserve(std::size_t count) noexcept = 0;

  /// The content is no longer needed: give the room back. Bytes reserved before may read as zeros.
  virtual void release() noexcept = 0;
};

/// Memory on the heap, committed by the system as it is touched.
class HeapMemory final : public Memory {
 public:
  explicit HeapMemory(std::size_t capacity)
      : size_(capacity), bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity)) {}

  std::span<std::byte> bytes() noexcept override { return {bytes_.get(), size_}; }
  bool reserve(std::size_t count) noexcept override { return count <= size_; }
  void release() noexcept override {}

 private:
  std::size_t size_;
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace sessionfs
