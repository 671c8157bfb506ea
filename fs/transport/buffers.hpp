// The memory that connections read into and send from: large buffers, lent for as long as they hold something.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>

namespace sessionfs::fs {

/// Of each buffer; what one system call reads at most.
inline constexpr std::size_t pool_buffer_bytes = 256 * 1024;
/// Unused buffers that a thread keeps.
inline constexpr std::size_t max_spare_buffers = 8;
/// Buffers that one system call sends at most.
inline constexpr std::size_t max_buffers_per_send = 8;

/// A buffer of pool_buffer_bytes from this thread's pool, or none. An idle connection holds none, and the one that
/// was used last is used next, while it is in the processor's cache.
class PoolBuffer {
 public:
  PoolBuffer() = default;
  static PoolBuffer borrow();
  PoolBuffer(PoolBuffer&&) noexcept = default;
  PoolBuffer& operator=(PoolBuffer&& other) noexcept;
  ~PoolBuffer() { give_back(); }

  explicit operator bool() const { return bytes_ != nullptr; }
  [[nodiscard]] std::byte* data() const { return bytes_.get(); }
  void give_back();

 private:
  std::unique_ptr<std::byte[]> bytes_;
};

/// Bytes in several places, taken from the front: a header and a payload in two pieces.
class Gather {
 public:
  using Parts = std::array<std::span<const std::byte>, 3>;

  explicit Gather(const Parts& parts) : parts_(parts), size_(parts[0].size() + parts[1].size() + parts[2].size()) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  /// The next bytes that lie together, at most `limit`; not empty unless all is taken or `limit` is 0.
  std::span<const std::byte> take(std::size_t limit);

 private:
  Parts parts_;
  std::size_t at_ = 0;
  std::size_t size_ = 0;
};

/// Bytes on their way into a socket.
class OutputQueue {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// Room for `count` bytes (at most pool_buffer_bytes) at the end; then append() what was put there.
  std::byte* room(std::size_t count);
  void append(std::size_t count);
  void append_copy(std::span<const std::byte> bytes);

  /// One system call: the number of bytes the kernel has taken, or -errno.
  std::ptrdiff_t send_some(int socket);
  void clear();

 private:
  struct Chunk {
    PoolBuffer buffer;
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  std::deque<Chunk> chunks_;
  std::size_t size_ = 0;
};

}  // namespace sessionfs::fs
