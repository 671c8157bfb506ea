#include "fs/state_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "engine/bytes.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::uint32_t file_magic = 0x53465346;  // "SFSF"
constexpr std::uint32_t file_version = 2;
constexpr std::size_t header_bytes = 4096;
constexpr std::size_t boot_offset = 16;
constexpr std::size_t durability_offset = 32;
constexpr std::size_t cursor_offset = 64;
constexpr BootId unused{};
constexpr std::size_t slot_offsets[] = {512, 2048};
constexpr std::size_t slot_numbers_bytes = 12;                     // sequence 8, size of the image 4
constexpr std::size_t slot_header_bytes = slot_numbers_bytes + 8;  // and their checksum
constexpr std::size_t max_capacity_bytes = std::size_t{1} << 30;

static_assert(slot_offsets[0] + slot_header_bytes + max_image_bytes <= slot_offsets[1]);
static_assert(slot_offsets[1] + slot_header_bytes + max_image_bytes <= header_bytes);

[[noreturn]] void fail(const std::filesystem::path& path, const char* what) {
  throw std::system_error(errno, std::generic_category(), path.string() + ": " + what);
}

std::uint64_t big_endian(std::uint64_t number) {
  return std::endian::native == std::endian::big ? number : __builtin_bswap64(number);
}

}  // namespace

BootId present_boot() {
  const std::filesystem::path path = "/proc/sys/kernel/random/boot_id";
  BootId boot{};
  std::size_t digits = 0;
  for (const char c : read_file(path, 64)) {
    const auto digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos || digits == 2 * boot.size()) continue;
    boot[digits / 2] |= static_cast<std::byte>(digit << (digits % 2 == 0 ? 4 : 0));
    ++digits;
  }
  return boot;
}

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

StateFile::StateFile(std::filesystem::path path, int fd, std::size_t capacity, const Disk& disk)
    : path_(std::move(path)), fd_(fd), capacity_(capacity), disk_(disk) {
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

std::shared_ptr<StateFile> StateFile::create(const std::filesystem::path& path, std::size_t capacity,
                                             const Disk& disk) {
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
  std::shared_ptr<StateFile> file(new StateFile(path, fd, capacity, disk));
  file->new_name_ = true;
  const std::span header(file->map_, header_bytes);
  store_big_endian(header.subspan<0, 4>(), file_magic);
  store_big_endian(header.subspan<4, 4>(), file_version);
  store_big_endian(header.subspan<8, 8>(), std::uint64_t{capacity});
  std::memcpy(file->map_ + boot_offset, disk.boot.data(), disk.boot.size());
  file->map_[durability_offset] = static_cast<std::byte>(disk.durability);
  return file;
}

std::shared_ptr<StateFile> StateFile::open(const std::filesystem::path& path, const Disk& disk) {
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
  std::shared_ptr<StateFile> file(new StateFile(path, fd, capacity, disk));
  file->begin_use();
  return file;
}

bool StateFile::never_saved(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) fail(path, "cannot be opened");
  std::array<std::byte, header_bytes> header{};
  const bool readable = ::pread(fd, header.data(), header.size(), 0) >= 0;
  ::close(fd);
  return readable && std::ranges::all_of(slot_offsets, [&](std::size_t offset) {
           return std::ranges::all_of(std::span(header).subspan(offset, slot_header_bytes),
                                      [](std::byte b) { return b == std::byte{0}; });
         });
}

void StateFile::begin_use() {
  BootId boot;
  std::memcpy(boot.data(), map_ + boot_offset, boot.size());
  const bool was_safe = map_[durability_offset] == static_cast<std::byte>(Durability::power);
  after_cut_ = boot != unused && boot != disk_.boot;
  if (after_cut_ && !was_safe)
    throw Damaged(path_.string() +
                  ": was in use when the computer stopped without warning; only durability = \"power\" outlives that");
  const bool safe = disk_.durability == Durability::power;
  if (boot == disk_.boot && was_safe == safe) return;
  // What is given again has not been given: who is killed before it is read leaves no other trace of the cut.
  if (after_cut_) {
    cut_cursor_ = cursor();
    note_given(0);
  }
  // What it promises is true before it is said, and no longer said before it is untrue.
  if (safe) sync();
  map_[durability_offset] = static_cast<std::byte>(disk_.durability);
  std::memcpy(map_ + boot_offset, disk_.boot.data(), disk_.boot.size());
  sync();
}

void StateFile::sync() {
  if (sync_failed_) errno = EIO;
  sync_failed_ = sync_failed_ || disk_.sync(fd_) != 0;
  if (sync_failed_) fail(path_, "cannot be brought to the disk");
}

void StateFile::finish() {
  sync();
  std::memcpy(map_ + boot_offset, unused.data(), unused.size());
  sync();
}

void StateFile::note_given(std::uint64_t offset) noexcept {
  std::atomic_ref(*reinterpret_cast<std::uint64_t*>(map_ + cursor_offset)).store(big_endian(offset));
}

std::uint64_t StateFile::cursor() const {
  return load_big_endian<std::uint64_t>(std::span<const std::byte>(map_ + cursor_offset, 8));
}

// 0, which no image has, when the numbers are damaged: else a slot could be taken for the newer one that it is not.
std::uint64_t StateFile::sequence(std::size_t index) const {
  const std::span<const std::byte> numbers(map_ + slot_offsets[index], slot_numbers_bytes);
  const std::span<const std::byte> sum(numbers.data() + numbers.size(), 8);
  return load_big_endian<std::uint64_t>(sum) == checksum(numbers) ? load_big_endian<std::uint64_t>(numbers) : 0;
}

std::span<const std::byte> StateFile::slot(std::size_t index) const {
  const std::byte* at = map_ + slot_offsets[index];
  const auto size = load_big_endian<std::uint32_t>(std::span<const std::byte>(at + 8, 4));
  return {at + slot_header_bytes, std::min<std::size_t>(size, max_image_bytes)};
}

std::optional<StateFile::Stored> StateFile::load() const {
  const std::size_t newer = sequence(1) > sequence(0) ? 1 : 0;
  for (const std::size_t index : {newer, 1 - newer}) {
    if (sequence(index) == 0) continue;
    auto image = decode_session_image(slot(index), capacity_);
    // A power cut may have come between its parts. Otherwise it was whole once, and the one before is out of date: what
    // has been read since would be given again.
    if (!image && after_cut_) continue;
    if (!image) return std::nullopt;
    Stored stored{*image, {}};
    auto& received = stored.image.received;
    const auto given = std::min(after_cut_ ? cut_cursor_ : cursor(), received.held);
    if (given <= received.read) return stored;
    stored.unsure = Unsure{received.read, given, after_cut_};
    if (after_cut_) return stored;
    received.start = (received.start + static_cast<std::size_t>(given - received.read)) % capacity_;
    received.read = given;
    return stored;
  }
  return std::nullopt;
}

void StateFile::save(const SessionImage& image) {
  const bool safe = disk_.durability == Durability::power;
  if (safe) sync();
  const auto bytes = encode(image);
  const std::size_t older = sequence(1) > sequence(0) ? 0 : 1;
  const std::uint64_t next = std::max(sequence(0), sequence(1)) + 1;
  std::byte* at = map_ + slot_offsets[older];
  // The process may be killed between any two stores: first what the old slot's checksum refuses, then all the rest.
  std::memcpy(at + slot_header_bytes, bytes.data(), bytes.size());
  store_big_endian(std::span<std::byte, 4>(at + 8, 4), static_cast<std::uint32_t>(bytes.size()));
  store_big_endian(std::span<std::byte, 8>(at, 8), next);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  store_big_endian(std::span<std::byte, 8>(at + slot_numbers_bytes, 8),
                   checksum(std::span<const std::byte>(at, slot_numbers_bytes)));
  if (!safe) return;
  sync();
  if (std::exchange(new_name_, false)) sync_folder(path_.parent_path());
}

Session::Memories StateFile::memories() {
  return {std::make_unique<Buffer>(shared_from_this(), header_bytes),
          std::make_unique<Buffer>(shared_from_this(), header_bytes + capacity_)};
}

std::string describe(const StateFile::Unsure& unsure) {
  const std::string range = "bytes " + std::to_string(unsure.from) + " to " + std::to_string(unsure.to);
  return unsure.again ? range + " are given again: they may have been read before the power was cut"
                      : range + " count as read: they were being read when the daemon was killed";
}

void StateFile::remove() { ::unlink(path_.c_str()); }

}  // namespace sessionfs::fs
