#include "fs/own_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace sessionfs::fs {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

[[noreturn]] void fail_at(const std::filesystem::path& path, int error) {
  throw std::system_error(error, std::generic_category(), path.string());
}

}  // namespace

OwnFolder::OwnFolder(const std::filesystem::path& wanted) {
  int number = 1;
  do {
    path_ = wanted.string() + "." + std::to_string(number++);
  } while (::mkdir(path_.c_str(), S_IRWXU) != 0 && errno == EEXIST);
  descriptor_ = ::open(path_.c_str(), folder_flags);
  if (descriptor_ < 0) fail_at(path_, errno);
  struct stat st {};
  if (::fstat(descriptor_, &st) == 0 && st.st_uid == ::geteuid()) return;
  ::close(std::exchange(descriptor_, -1));
  fail_at(path_, EPERM);
}

OwnFolder OwnFolder::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), folder_flags);
  if (descriptor < 0) fail_at(path, errno);
  return {path, descriptor};
}

OwnFolder::OwnFolder(OwnFolder&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

OwnFolder::~OwnFolder() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::filesystem::path OwnFolder::place() const {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(descriptor_) + "/.";
}

}  // namespace sessionfs::fs
