// Documents: folders as a whole.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fs/documents.hpp"

namespace sessionfs::fs {
namespace {

// One READDIR request is answered with at most this.
constexpr std::size_t max_readdir_bytes = 64 << 10;

bool is_dots(std::string_view name) { return name == "." || name == ".."; }

}  // namespace

// `name` below `folder`, for reading; "." is the folder itself.
Documents::Dir Documents::open_folder(int folder, const char* name, int& error) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const int fd = static_cast<int>(::syscall(SYS_openat2, folder, name, &how, sizeof how));
  if (fd < 0) {
    error = errno;
    return nullptr;
  }
  Dir dir{::fdopendir(fd)};
  if (!dir) {
    error = errno;
    ::close(fd);
  }
  return dir;
}

// The next entry, null at the end and at an error (then `error` is set).
const dirent* Documents::next_entry(DIR* dir, bool at_top, int& error) {
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(dir);
    if (entry == nullptr) {
      error = errno;
      return nullptr;
    }
    if (!at_top || !is_reserved(entry->d_name)) return entry;
  }
}

std::error_code Documents::list(Inode folder, std::vector<Entry>& entries) {
  entries.clear();
  Place place;
  int error = resolve(folder, place);
  if (error != 0) return code(error);
  const Dir dir = open_folder(place.fd(), ".", error);
  if (!dir) return code(error);
  while (const dirent* entry = next_entry(dir.get(), place.node == nullptr, error)) {
    if (is_dots(entry->d_name)) continue;
    if (entries.size() == max_listed_entries) return code(EOVERFLOW);
    entries.push_back({entry->d_name, inode_in(place.storage->index, entry->d_ino), entry->d_type});
  }
  return code(error);
}

std::uint64_t Documents::endpoint_of(Inode inode) const {
  const auto node = nodes_.find(serial_of(inode));
  return node == nodes_.end() || node->second->storage == nullptr ? 0 : node->second->storage->endpoint;
}

bool Documents::in_use(std::uint64_t endpoint_serial) const {
  return std::ranges::any_of(handles_, [&](const auto& entry) { return entry.second.endpoint == endpoint_serial; });
}

bool Documents::empty(std::uint64_t endpoint_serial) const {
  const auto found = storages_.find(endpoint_serial);
  if (found == storages_.end()) return true;
  int error = 0;
  const Dir dir = open_folder(found->second->folder->get(), ".", error);
  if (!dir) return false;
  while (const dirent* entry = next_entry(dir.get(), true, error)) {
    if (!is_dots(entry->d_name)) return false;
  }
  return error == 0;
}

int Documents::remove_below(DIR* dir, bool at_top, unsigned depth) {
  if (depth > max_removed_depth) return ELOOP;
  int error = 0;
  while (const dirent* entry = next_entry(dir, at_top, error)) {
    const char* name = entry->d_name;
    if (is_dots(name) || ::unlinkat(::dirfd(dir), name, 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM) return errno;
    const int refused = errno;
    const Dir below = open_folder(::dirfd(dir), name, error);
    if (!below) return error == ENOTDIR ? refused : error;
    if (error = remove_below(below.get(), false, depth + 1); error != 0) return error;
    if (::unlinkat(::dirfd(dir), name, AT_REMOVEDIR) != 0) return errno;
  }
  return error;
}

std::error_code Documents::remove_all(std::uint64_t endpoint_serial) {
  const auto found = storages_.find(endpoint_serial);
  if (found == storages_.end()) return {};
  int error = 0;
  const Dir dir = open_folder(found->second->folder->get(), ".", error);
  return code(dir ? remove_below(dir.get(), true, 0) : error);
}

std::error_code Documents::sync(std::uint64_t endpoint_serial) const {
  const auto found = storages_.find(endpoint_serial);
  if (found == storages_.end()) return code(ESTALE);
  int error = 0;
  const Dir dir = open_folder(found->second->folder->get(), ".", error);
  if (!dir) return code(error);
  return code(::syncfs(::dirfd(dir.get())) == 0 ? 0 : errno);
}

std::error_code Documents::sync_folder(Inode folder) {
  Place place;
  int error = resolve(folder, place);
  if (error != 0) return code(error);
  const Dir dir = open_folder(place.fd(), ".", error);
  if (!dir) return code(error);
  return code(::fsync(::dirfd(dir.get())) == 0 ? 0 : errno);
}

void Documents::opendir(fuse_req_t req, Inode inode, fuse_file_info* fi) {
  Place place;
  Dir dir;
  int error = resolve(inode, place);
  if (error == 0 && handles_.size() >= limits_.max_handles) error = ENFILE;
  if (error == 0) dir = open_folder(place.fd(), ".", error);
  if (error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  fi->fh = add_handle(place, inode, Descriptor{}, std::move(dir));
  if (fuse_reply_open(req, fi) != 0) handles_.erase(fi->fh);
}

void Documents::readdir(fuse_req_t req, Inode, std::size_t size, off_t offset, fuse_file_info* fi) {
  const auto found = handles_.find(fi->fh);
  if (found == handles_.end() || !found->second.dir) {
    fuse_reply_err(req, found == handles_.end() ? EBADF : ESTALE);
    return;
  }
  Handle& folder = found->second;
  if (offset == 0) {
    ::rewinddir(folder.dir.get());
  } else if (offset != folder.position) {
    ::seekdir(folder.dir.get(), offset);
  }
  folder.position = offset;
  std::vector<char> reply(std::min(size, max_readdir_bytes));
  std::size_t used = 0;
  int error = 0;
  while (const dirent* entry = next_entry(folder.dir.get(), folder.at_top, error)) {
    struct stat shown {};
    const std::string_view name = entry->d_name;
    shown.st_ino = name == "." ? folder.inode : inode_in(folder.storage_index, entry->d_ino);
    shown.st_mode = DTTOIF(entry->d_type);
    const std::size_t needed =
        fuse_add_direntry(req, reply.data() + used, reply.size() - used, entry->d_name, &shown, entry->d_off);
    if (needed > reply.size() - used) {
      ::seekdir(folder.dir.get(), folder.position);  // it comes first in the next reply
      break;
    }
    used += needed;
    folder.position = entry->d_off;
  }
  if (error != 0 && used == 0) {
    fuse_reply_err(req, error);
  } else {
    fuse_reply_buf(req, reply.data(), used);
  }
}

void Documents::releasedir(fuse_req_t req, Inode, fuse_file_info* fi) {
  handles_.erase(fi->fh);
  fuse_reply_err(req, 0);
}

void Documents::fsyncdir(fuse_req_t req, Inode, int, fuse_file_info* fi) {
  const auto found = handles_.find(fi->fh);
  int error = found == handles_.end() ? EBADF : 0;
  if (error == 0 && !found->second.dir) error = ESTALE;
  if (error == 0 && ::fsync(::dirfd(found->second.dir.get())) != 0) error = errno;
  fuse_reply_err(req, error);
}

}  // namespace sessionfs::fs
