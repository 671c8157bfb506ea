// A session's state on disk: its image and both of its buffers in one file that is mapped into memory, so that what
// the engine puts there is the kernel's the same moment and outlives a killed daemon (`durability = "process"`).
//
//   0      fixed header: magic, version, the capacities of both buffers
//   512    image slot 0: {sequence: 8 bytes, size: 4 bytes, the encoded image with its checksum}
//   2048   image slot 1
//   4096   the send buffer, then the receive buffer; the file is sparse, blocks are reserved before they are used
//
// A new image goes to the slot with the older sequence, so that one whole image is there at any moment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

#include "engine/image.hpp"
#include "engine/session.hpp"

namespace sessionfs::fs {

class StateFile : public std::enable_shared_from_this<StateFile> {
 public:
  /// Makes the file, mode 0600, for buffers of `capacity` bytes (a multiple of the page size). Throws
  /// std::system_error.
  static std::shared_ptr<StateFile> create(const std::filesystem::path& path, std::size_t capacity);

  /// Opens one that is there. Throws std::system_error, or std::runtime_error for a damaged one.
  static std::shared_ptr<StateFile> open(const std::filesystem::path& path);

  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  /// The newest whole image; nothing when there is none.
  [[nodiscard]] std::optional<SessionImage> load() const;
  void save(const SessionImage& image);

  /// The memories of both buffers; they share ownership of the file.
  Session::Memories memories();

  /// Deletes the file; the mapping stays until the last owner is gone.
  void remove();

 private:
  class Buffer;

  StateFile(std::filesystem::path path, int fd, std::size_t capacity);

  [[nodiscard]] std::span<const std::byte> slot(std::size_t index) const;
  [[nodiscard]] std::uint64_t sequence(std::size_t index) const;

  std::filesystem::path path_;
  int fd_;
  std::size_t capacity_;
  std::byte* map_ = nullptr;
};

}  // namespace sessionfs::fs
