// A session's state on disk: its image and both of its buffers in one file that is mapped into memory, so that what
// the engine puts there is the kernel's the same moment and outlives a killed daemon.
//
//   0      fixed header: magic, version, the capacity of each buffer
//   16     by whom it is used: the boot of the machine (zeros: by nobody, all of it is on the disk), durability
//   64     the cursor: how far a reader has been given the stream, noted apart from the image
//   512    image slot 0: {sequence 8, size 4, checksum of both 8, the encoded image with its checksum}
//   2048   image slot 1
//   4096   the send buffer, then the receive buffer; the file is sparse, blocks are reserved before they are used
//
// A new image goes to the slot with the older sequence, so that one whole image is there at any moment.
//
// With Durability::process the system writes the file back when it likes. After a power cut the parts of it may be of
// different ages, so that a file which was in use is Damaged. With Durability::power save() brings the buffers to the
// disk, then the image that speaks of them; whatever else of the file the system has written by then, the newest whole
// image is true: buffers are only overwritten where no stored image that could count has bytes.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/image.hpp"
#include "engine/session.hpp"
#include "fs/files.hpp"

namespace sessionfs::fs {

using BootId = std::array<std::byte, 16>;

/// Of this start of the machine's kernel: /proc/sys/kernel/random/boot_id (random(4)). Throws std::system_error.
BootId present_boot();

/// What state files are kept on.
struct Disk {
  Durability durability = Durability::process;
  BootId boot = present_boot();
  /// Returns 0 when all of the file is on the disk, as fdatasync(2).
  std::function<int(int fd)> sync = [](int fd) { return ::fdatasync(fd); };
};

class StateFile : public std::enable_shared_from_this<StateFile> {
 public:
  /// Makes the file, mode 0600, for buffers of `capacity` bytes (a multiple of the page size). Throws
  /// std::system_error.
  static std::shared_ptr<StateFile> create(const std::filesystem::path& path, std::size_t capacity, const Disk& disk);

  /// Opens one that is there. Throws std::system_error; Damaged; std::runtime_error for one of a newer version.
  static std::shared_ptr<StateFile> open(const std::filesystem::path& path, const Disk& disk);

  /// A daemon was killed while it made the file: nothing was ever saved there. Throws std::system_error.
  static bool never_saved(const std::filesystem::path& path);

  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  /// Bytes of which nobody knows whether a reader has got them: the daemon was killed, or the power was cut, while they
  /// were given to it. After a power cut, which has ended the reader too, they are given `again`.
  struct Unsure {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    bool again = false;
  };
  struct Stored {
    SessionImage image;
    std::optional<Unsure> unsure;
  };
  /// The newest whole image, with the cursor; nothing when there is none.
  [[nodiscard]] std::optional<Stored> load() const;
  /// Throws std::system_error when it cannot be brought to the disk: nothing that it says may be told to anybody then.
  void save(const SessionImage& image);

  /// A reader is given the stream up to `offset`. To be called right before, since of what lies between this call and
  /// the kernel's taking the bytes nobody knows afterwards; and again with the old offset when they were not taken.
  void note_given(std::uint64_t offset) noexcept;

  /// Brings all to the disk; the file is used no more. Throws std::system_error. Once something could not be brought to
  /// the disk, the file counts as in use for ever: the kernel says so once, and what is missing stays missing.
  void finish();

  /// The memories of both buffers; they share ownership of the file.
  Session::Memories memories();

  /// Deletes the file; the mapping stays until the last owner is gone.
  void remove();

 private:
  class Buffer;

  StateFile(std::filesystem::path path, int fd, std::size_t capacity, const Disk& disk);

  [[nodiscard]] std::span<const std::byte> slot(std::size_t index) const;
  [[nodiscard]] std::uint64_t sequence(std::size_t index) const;
  [[nodiscard]] std::uint64_t cursor() const;
  void begin_use();
  void sync();

  std::filesystem::path path_;
  int fd_;
  std::size_t capacity_;
  Disk disk_;
  bool new_name_ = false;   // its entry in the folder may not be on the disk yet
  bool after_cut_ = false;  // the power was cut while it was in use
  bool sync_failed_ = false;
  std::uint64_t cut_cursor_ = 0;  // and a reader had been given the stream so far
  std::byte* map_ = nullptr;
};

/// In words, for logs and status.
std::string describe(const StateFile::Unsure& unsure);

}  // namespace sessionfs::fs
