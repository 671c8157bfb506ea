#include "fs/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace sessionfs::fs {
namespace {

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags)
      : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {
    check(fd_);
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  void check(ssize_t result) const {
    if (result < 0) throw std::system_error(errno, std::generic_category(), path_.string());
  }

 private:
  std::filesystem::path path_;
  int fd_;
};

}  // namespace

std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, '?');
  return text;
}

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
  const Descriptor file(path, O_RDONLY);
  std::string content;
  char buffer[16384];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof(buffer));
    file.check(count);
    if (count == 0) return content;
    content.append(buffer, static_cast<std::size_t>(count));
    if (content.size() > limit) throw Damaged(path.string() + ": is too large");
  }
}

void replace_file(const std::filesystem::path& path, std::string_view content, Durability durability) {
  const std::filesystem::path temporary = path.string() + ".new";
  {
    ::unlink(temporary.c_str());  // whatever it is: on a stick it may lead somewhere else
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    while (!content.empty()) {
      const ssize_t count = ::write(file.get(), content.data(), content.size());
      file.check(count);
      content.remove_prefix(static_cast<std::size_t>(count));
    }
    if (durability == Durability::power) file.check(::fsync(file.get()));
  }
  std::filesystem::rename(temporary, path);
  if (durability != Durability::power) return;
  sync_folder(path.parent_path());
  // On vfat the rename may still bring back what was there before.
  const Descriptor file(path, O_RDONLY | O_NOFOLLOW);
  file.check(::fsync(file.get()));
}

void sync_folder(const std::filesystem::path& path) {
  const Descriptor folder(path, O_RDONLY | O_DIRECTORY);
  folder.check(::fsync(folder.get()));
}

}  // namespace sessionfs::fs
