// Documents: attributes, links' texts, extended attributes.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "fs/documents.hpp"

namespace sessionfs::fs {

std::error_code Documents::attributes(Inode inode, struct stat& attributes) {
  Place place;
  int error = resolve(inode, place);
  if (error == 0 && ::fstat(place.fd(), &attributes) != 0) error = errno;
  if (error == 0) show(attributes, inode);
  return {error, std::generic_category()};
}

void Documents::getattr(fuse_req_t req, Inode inode, fuse_file_info* fi) {
  struct stat found {};
  int fd = -1;
  int error = 0;
  // An open file is there whatever became of its name.
  if (fi != nullptr && file_of(fi, fd) == 0) {
    error = ::fstat(fd, &found) == 0 ? 0 : errno;
    show(found, inode);
  } else {
    error = attributes(inode, found).value();
  }
  if (error != 0) {
    fuse_reply_err(req, error);
  } else {
    fuse_reply_attr(req, &found, document_attr_timeout_s);
  }
}

int Documents::change(const Place& place, const struct stat& attributes, int to_set, const fuse_file_info* fi) {
  const std::string path = proc_path(place.fd());
  // The owner before the mode, since a change of owner clears bits of it.
  // A chown that changes nothing asks for nothing here; the file's time of change is new all the same.
  if ((to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0 || to_set == 0) {
    const uid_t user = (to_set & FUSE_SET_ATTR_UID) != 0 ? attributes.st_uid : static_cast<uid_t>(-1);
    const gid_t group = (to_set & FUSE_SET_ATTR_GID) != 0 ? attributes.st_gid : static_cast<gid_t>(-1);
    if (::fchownat(place.fd(), "", user, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return errno;
  }
  if ((to_set & FUSE_SET_ATTR_MODE) != 0) {
    if (place.node != nullptr && S_ISLNK(place.node->type)) return EOPNOTSUPP;
    if (::chmod(path.c_str(), attributes.st_mode & 07777) != 0) return errno;
  }
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) {
    int fd = -1;
    if (fi != nullptr) {
      if (const int error = file_of(fi, fd); error != 0) return error;
    }
    if ((fd >= 0 ? ::ftruncate(fd, attributes.st_size) : ::truncate(path.c_str(), attributes.st_size)) != 0) {
      return errno;
    }
  }
  timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  if ((to_set & FUSE_SET_ATTR_ATIME) != 0) times[0] = attributes.st_atim;
  if ((to_set & FUSE_SET_ATTR_MTIME) != 0) times[1] = attributes.st_mtim;
  if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0) times[0] = {0, UTIME_NOW};
  if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0) times[1] = {0, UTIME_NOW};
  if (times[0].tv_nsec != UTIME_OMIT || times[1].tv_nsec != UTIME_OMIT) {
    if (::utimensat(place.fd(), "", times, AT_EMPTY_PATH) != 0) return errno;
  }
  return 0;
}

void Documents::setattr(fuse_req_t req, Inode inode, struct stat* attributes, int to_set, fuse_file_info* fi) {
  Place place;
  int error = resolve(inode, place);
  if (error == 0) error = change(place, *attributes, to_set, fi);
  if (error != 0) {
    fuse_reply_err(req, error);
  } else {
    getattr(req, inode, fi);
  }
}

void Documents::readlink(fuse_req_t req, Inode inode) {
  Place place;
  int error = resolve(inode, place);
  char text[PATH_MAX + 1];
  if (error == 0) {
    const ssize_t length = ::readlinkat(place.fd(), "", text, sizeof text);
    if (length < 0) {
      error = errno == ENOENT ? EINVAL : errno;  // what the empty path gives for all but links
    } else if (static_cast<std::size_t>(length) == sizeof text) {
      error = ENAMETOOLONG;
    } else {
      text[length] = '\0';
    }
  }
  if (error != 0) {
    fuse_reply_err(req, error);
  } else {
    fuse_reply_readlink(req, text);
  }
}

void Documents::statfs(fuse_req_t req, Inode inode) {
  Place place;
  int error = resolve(inode, place);
  struct statvfs found {};
  if (error == 0 && ::fstatvfs(place.fd(), &found) != 0) error = errno;
  if (error != 0) {
    fuse_reply_err(req, error);
  } else {
    fuse_reply_statfs(req, &found);
  }
}

namespace {

constexpr int max_groups = 65536;  // of a process, as the kernel has it

bool is_of_group(fuse_req_t req, gid_t group) {
  const fuse_ctx* caller = fuse_req_ctx(req);
  if (caller->uid == 0 || caller->gid == group) return true;
  std::vector<gid_t> groups(64);
  int count = fuse_req_getgroups(req, static_cast<int>(groups.size()), groups.data());
  if (count > static_cast<int>(groups.size()) && count <= max_groups) {
    groups.resize(static_cast<std::size_t>(count));
    count = std::min(fuse_req_getgroups(req, count, groups.data()), count);
  }
  const auto end = groups.begin() + std::clamp(count, 0, static_cast<int>(groups.size()));
  return std::find(groups.begin(), end, group) != end;
}

// With the access list that a caller gives, a file loses its set-group bit if the caller is not of its group. The
// kernel leaves it to the storage here, where the daemon's root may keep it.
int drop_group_bit(fuse_req_t req, const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return errno;
  if ((found.st_mode & S_ISGID) == 0 || is_of_group(req, found.st_gid)) return 0;
  return ::chmod(path.c_str(), found.st_mode & 07777 & ~static_cast<mode_t>(S_ISGID)) == 0 ? 0 : errno;
}

}  // namespace

void Documents::setxattr(fuse_req_t req, Inode inode, const char* name, const char* value, std::size_t size,
                         int flags) {
  Place place;
  int error = resolve(inode, place);
  if (error == 0) {
    const std::string path = proc_path(place.fd());
    if (::setxattr(path.c_str(), name, value, size, flags) != 0) {
      error = errno;
    } else if (std::string_view(name) == "system.posix_acl_access") {
      error = drop_group_bit(req, path);
    }
  }
  fuse_reply_err(req, error);
}

namespace {

// Answers with what `get(buffer, size)` returns, or with its length where the caller asked for that (size 0).
template <typename Get>
void reply_xattr(fuse_req_t req, std::size_t size, Get get) {
  if (size == 0) {
    const ssize_t length = get(nullptr, 0);
    if (length < 0) {
      fuse_reply_err(req, errno);
    } else {
      fuse_reply_xattr(req, static_cast<std::size_t>(length));
    }
    return;
  }
  std::vector<char> buffer(std::min(size, max_xattr_bytes));
  const ssize_t length = get(buffer.data(), buffer.size());
  if (length < 0) {
    fuse_reply_err(req, errno);
  } else {
    fuse_reply_buf(req, buffer.data(), static_cast<std::size_t>(length));
  }
}

// The names of a listxattr(2) answer without root's, as listxattr(2) returns them.
ssize_t copy_public_names(std::string_view names, char* buffer, std::size_t room) {
  std::string found;
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find('\0') + 1);
    if (!name.starts_with("trusted.")) found += name;
    names.remove_prefix(name.size());
  }
  if (room != 0 && found.size() > room) {
    errno = ERANGE;
    return -1;
  }
  if (room != 0) std::copy(found.begin(), found.end(), buffer);
  return static_cast<ssize_t>(found.size());
}

}  // namespace

void Documents::getxattr(fuse_req_t req, Inode inode, const char* name, std::size_t size) {
  Place place;
  if (const int error = resolve(inode, place); error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  const std::string path = proc_path(place.fd());
  reply_xattr(req, size, [&](char* buffer, std::size_t room) { return ::getxattr(path.c_str(), name, buffer, room); });
}

void Documents::listxattr(fuse_req_t req, Inode inode, std::size_t size) {
  Place place;
  if (const int error = resolve(inode, place); error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  const std::string path = proc_path(place.fd());
  // Who is not root does not see the names that are for root alone (xattr(7)); the daemon may be.
  const bool all = fuse_req_ctx(req)->uid == 0;
  reply_xattr(req, size, [&](char* buffer, std::size_t room) -> ssize_t {
    if (all) return ::listxattr(path.c_str(), buffer, room);
    char names[max_xattr_bytes];
    const ssize_t length = ::listxattr(path.c_str(), names, sizeof names);
    return length < 0 ? length : copy_public_names({names, static_cast<std::size_t>(length)}, buffer, room);
  });
}

void Documents::removexattr(fuse_req_t req, Inode inode, const char* name) {
  Place place;
  int error = resolve(inode, place);
  if (error == 0 && ::removexattr(proc_path(place.fd()).c_str(), name) != 0) error = errno;
  fuse_reply_err(req, error);
}

}  // namespace sessionfs::fs
