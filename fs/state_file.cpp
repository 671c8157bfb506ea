#include "fs/state_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "engine/bytes.hpp"
#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::uint32_t file_magic = 0x53465346;  // "SFSF"
constexpr std::uint32_t file_version = 1;
constexpr std::size_t header_bytes = 4096;
constexpr std::size_t slot_offsets[] = {512, 2048};
constexpr std::size_t slot_header_bytes = 12;
constexpr std::size_t max_capacity_bytes = std::size_t{1} << 30;

static_assert(slot_offsets[0] + slot_header_bytes + max_image_bytes <= slot_offsets[1]);
static_assert(slot_offsets[1] + slot_header_bytes + max_image_bytes <= header_bytes);

[[noreturn]] void fail(const std::filesystem::path& path, const char* what) {
  throw std::system_error(errno, std::generic_category(), path.string() + ": " + what);
}

}  // namespace

class StateFile::Buffer final : public Memory {
 public:
  Buffer(std::shared_ptr<StateFile> file, std::size_t offset) : file_(std::move(file)), offset_(offset) {}

  std::span<std::byte> bytes() noexcept override { return {file_->map_ + offset_, file_->capacity_}; }

  // Without blocks of its own a page of a full disk would end the process by SIGBUS.
  bool reserve(std::size_t count) noexcept override {
    return fallocate(file_->fd_, 0, static_cast<off_t>(offset_), static_cast<off_t>(count)) == 0 || errno == EOPNOTSUPP;
  }

  void release() noexcept override {
    (void)fallocate(file_->fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset_),
                    static_cast<off_t>(file_->capacity_));
  }

 private:
  std::shared_ptr<StateFile> file_;
  std::size_t offset_;
};

StateFile::StateFile(std::filesystem::path path, int fd, std::size_t capacity)
    : path_(std::move(path)), fd_(fd), capacity_(capacity) {
  void* map = mmap(nullptr, header_bytes + 2 * capacity_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (map == MAP_FAILED) {
    const int error = errno;
    ::close(fd_);
    errno = error;
    fail(path_, "cannot be mapped");
  }
  map_ = static_cast<std::byte*>(map);
}

StateFile::~StateFile() {
  munmap(map_, header_bytes + 2 * capacity_);
  ::close(fd_);
}

std::shared_ptr<StateFile> StateFile::create(const std::filesystem::path& path, std::size_t capacity) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) fail(path, "cannot be created");
  if (ftruncate(fd, static_cast<off_t>(header_bytes + 2 * capacity)) != 0 ||
      posix_fallocate(fd, 0, header_bytes) != 0) {
    const int error = errno;
    ::close(fd);
    ::unlink(path.c_str());
    errno = error;
    fail(path, "cannot be given its size");
  }
  std::shared_ptr<StateFile> file(new StateFile(path, fd, capacity));
  const std::span header(file->map_, header_bytes);
  store_big_endian(header.subspan<0, 4>(), file_magic);
  store_big_endian(header.subspan<4, 4>(), file_version);
  store_big_endian(header.subspan<8, 8>(), std::uint64_t{capacity});
  return file;
}

std::shared_ptr<StateFile> StateFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) fail(path, "cannot be opened");
  std::array<std::byte, 16> header{};
  struct stat st {};
  const bool whole =
      ::pread(fd, header.data(), header.size(), 0) == static_cast<ssize_t>(header.size()) && fstat(fd, &st) == 0;
  const std::span bytes(header);
  const auto capacity = load_big_endian<std::uint64_t>(bytes.subspan<8, 8>());
  const bool ours = whole && load_big_endian<std::uint32_t>(bytes.subspan<0, 4>()) == file_magic;
  const auto version = load_big_endian<std::uint32_t>(bytes.subspan<4, 4>());
  if (ours && version > file_version) {
    ::close(fd);
    throw std::runtime_error(path.string() + ": is of version " + std::to_string(version) +
                             ", and this program knows " + std::to_string(file_version) +
                             "; run a newer sessionfs on this state");
  }
  if (!ours || version == 0 || capacity == 0 || capacity > max_capacity_bytes ||
      static_cast<std::uint64_t>(st.st_size) != header_bytes + 2 * capacity) {
    ::close(fd);
    throw Damaged(path.string() + ": is damaged");
  }
  return std::shared_ptr<StateFile>(new StateFile(path, fd, capacity));
}

std::uint64_t StateFile::sequence(std::size_t index) const {
  return load_big_endian<std::uint64_t>(std::span<const std::byte>(map_ + slot_offsets[index], 8));
}

std::span<const std::byte> StateFile::slot(std::size_t index) const {
  const std::byte* at = map_ + slot_offsets[index];
  const auto size = load_big_endian<std::uint32_t>(std::span<const std::byte>(at + 8, 4));
  return {at + slot_header_bytes, std::min<std::size_t>(size, max_image_bytes)};
}

std::optional<SessionImage> StateFile::load() const {
  const std::size_t newer = sequence(1) > sequence(0) ? 1 : 0;
  if (auto image = decode_session_image(slot(newer), capacity_)) return image;
  return decode_session_image(slot(1 - newer), capacity_);
}

void StateFile::save(const SessionImage& image) {
  const auto bytes = encode(image);
  const std::size_t older = sequence(1) > sequence(0) ? 0 : 1;
  const std::uint64_t next = std::max(sequence(0), sequence(1)) + 1;
  std::byte* at = map_ + slot_offsets[older];
  // The process may be killed between any two stores: first what the old slot's checksum refuses, then all the rest.
  std::memcpy(at + slot_header_bytes, bytes.data(), bytes.size());
  store_big_endian(std::span<std::byte, 4>(at + 8, 4), static_cast<std::uint32_t>(bytes.size()));
  std::atomic_signal_fence(std::memory_order_seq_cst);
  store_big_endian(std::span<std::byte, 8>(at, 8), next);
}

Session::Memories StateFile::memories() {
  return {std::make_unique<Buffer>(shared_from_this(), header_bytes),
          std::make_unique<Buffer>(shared_from_this(), header_bytes + capacity_)};
}

void StateFile::remove() { ::unlink(path_.c_str()); }

}  // namespace sessionfs::fs
