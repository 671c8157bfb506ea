#include "fs/stick.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "fs/files.hpp"
#include "fs/residents.hpp"
#include "fs/sealed.hpp"

namespace sessionfs::fs {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

struct FolderCloser {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// A FIFO would block, a device do worse: O_NONBLOCK, and only a plain file is read.
constexpr int safe_flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

std::string read_plain_file(int folder, const char* name, std::size_t limit) {
  struct stat there {};
  if (::fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(there.st_mode) && !S_ISLNK(there.st_mode))
    throw BadRecord(EINVAL, "its record is no plain file");
  const Fd file(::openat(folder, name, safe_flags));
  if (file.get() < 0 && errno == ENOENT) throw BadRecord(ENOENT, "there is no endpoint: it holds no record");
  if (file.get() < 0 && errno == ELOOP) throw BadRecord(EINVAL, "its record is a symbolic link, which is not followed");
  if (file.get() < 0) throw BadRecord(errno, std::string("its record: ") + std::strerror(errno));
  struct stat st {};
  if (::fstat(file.get(), &st) != 0) throw BadRecord(errno, std::string("its record: ") + std::strerror(errno));
  if (!S_ISREG(st.st_mode)) throw BadRecord(EINVAL, "its record is no plain file");
  if (static_cast<std::size_t>(st.st_size) > limit) throw BadRecord(EFBIG, "its record is too large");
  std::array<char, 4> magic{};
  if (::pread(file.get(), magic.data(), magic.size(), 0) != static_cast<ssize_t>(magic.size()) ||
      std::string_view(magic.data(), 3) != "SFS")  // what is none is not read whole
    throw BadRecord(EINVAL, "its record is damaged, or none");
  std::string content(static_cast<std::size_t>(st.st_size), '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = ::read(file.get(), content.data() + done, content.size() - done);
    if (count < 0) throw BadRecord(errno, std::string("its record: ") + std::strerror(errno));
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  content.resize(done);
  return content;
}

Opened unseal(const std::string& bytes, const std::string& passphrase, const std::string& seal) {
  if (passphrase.empty()) {
    const auto key = SealKey::from_text(seal);
    auto opened = key ? open_sealed(bytes, *key) : std::nullopt;
    if (!opened) throw BadRecord(ENOKEY, "its record is sealed; load it with its passphrase");
    return std::move(*opened);
  }
  auto opened = open_sealed(bytes, passphrase);
  if (!opened) throw BadRecord(EKEYREJECTED, "its record does not open with this passphrase, or is damaged");
  return std::move(*opened);
}

}  // namespace

ReadRecord read_record(const std::filesystem::path& folder, const std::string& passphrase, const std::string& seal) {
  const Fd at(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (at.get() < 0) throw BadRecord(errno, std::strerror(errno));
  // What a tool may have padded it with is bounded, too.
  constexpr std::size_t padding_limit = std::size_t{1} << 20;
  std::string bytes = read_plain_file(at.get(), record_name, max_record_bytes + padding_limit);
  ReadRecord read;
  if (is_sealed(bytes)) {
    Opened opened = unseal(bytes, passphrase, seal);
    bytes = std::move(opened.content);
    read.seal = opened.key.text();
  }
  auto record = decode_endpoint_record(std::as_bytes(std::span(bytes)));
  if (!record) throw BadRecord(EINVAL, "its record is damaged, or of a newer version");
  read.record = std::move(*record);
  return read;
}

StickContent look_at_stick(const std::filesystem::path& root) {
  StickContent content;
  const auto fault = [&](const std::string& name, const char* why) {
    if (content.faults.size() < max_stick_faults)
      content.faults.push_back(one_line((root / name).string()) + ": " + why);
  };
  const std::unique_ptr<DIR, FolderCloser> folder(::opendir(root.c_str()));
  if (!folder) throw std::system_error(errno, std::generic_category(), root.string());
  std::size_t seen = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (++seen > max_stick_entries) {
      fault("", "holds too many files to look for endpoints behind the first ones");
      break;
    }
    const std::string name = entry->d_name;
    const auto parsed = EndpointName::parse(name);
    const bool is_name = parsed && parsed->str() == name;
    struct stat st {};
    if (::fstatat(::dirfd(folder.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (is_name && S_ISLNK(st.st_mode)) fault(name, "is a symbolic link, which is not followed");
    if (!S_ISDIR(st.st_mode) || name == "." || name == "..") continue;
    const Fd sub(::openat(::dirfd(folder.get()), entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (sub.get() < 0 || ::fstatat(sub.get(), record_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (is_name) {
      content.folders.push_back(root / name);
    } else {
      fault(name, "holds a record, but its name is not an endpoint's");
    }
  }
  return content;
}

bool keeps_owners(const std::filesystem::path& path) {
  constexpr long exfat_magic = 0x2011BAB0;
  constexpr long fuse_magic = 0x65735546;
  struct statfs st {};
  if (::statfs(path.c_str(), &st) != 0) return true;
  const auto type = static_cast<long>(st.f_type);
  return type != MSDOS_SUPER_MAGIC && type != exfat_magic && type != fuse_magic;
}

}  // namespace sessionfs::fs
