// Documents: the operations on names.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fs/documents.hpp"

namespace sessionfs::fs {
namespace {

constexpr mode_t set_id_bits = S_ISUID | S_ISGID;

// The caller's umask while something is made: the storage then applies it, or a folder's default ACL instead.
class CallersUmask {
 public:
  explicit CallersUmask(fuse_req_t req) : former_(::umask(fuse_req_ctx(req)->umask & 0777)) {}
  ~CallersUmask() { ::umask(former_); }
  CallersUmask(const CallersUmask&) = delete;
  CallersUmask& operator=(const CallersUmask&) = delete;

 private:
  mode_t former_;
};

// Whether a file has lost only one of its names. Then it need not be pinned, which would keep a descriptor for each of
// thousands: should its descriptor be evicted, ESTALE makes the kernel look up the name that the caller used.
bool has_names(int fd) {
  struct stat found {};
  return ::fstat(fd, &found) == 0 && !S_ISDIR(found.st_mode) && found.st_nlink > 0;
}

}  // namespace

void Documents::lookup(fuse_req_t req, Inode parent, const char* name) {
  Place folder;
  fuse_entry_param entry{};
  int error = resolve_folder(parent, name, folder);
  if (error == 0 && hidden(folder, name)) error = ENOENT;
  if (error == 0) error = enter(folder, name, entry);
  reply_entry(req, error, entry);
}

void Documents::forget(fuse_req_t req, Inode inode, std::uint64_t count) {
  forget_one(inode, count);
  fuse_reply_none(req);
}

void Documents::forget_one(Inode inode, std::uint64_t count) {
  if (kind_of(inode) != Kind::document) return;
  const auto found = nodes_.find(serial_of(inode));
  if (found == nodes_.end()) return;
  Node& node = *found->second;
  node.lookups -= std::min(node.lookups, count);
  drop_if_unused(&node);
}

// The node of the file that has the name now, if the kernel knows it; `path` is the file.
Documents::Node* Documents::find_named(const Place& folder, const char* name, Path& path) const {
  int error = 0;
  path = open_path(folder.fd(), name, error);
  struct stat attributes {};
  Identity identity;
  if (!path || identify(path->get(), attributes, identity) != 0) return nullptr;
  return find(*folder.storage, identity);
}

// A node that was pinned for the time of a change has this name now.
void Documents::moved(Node* node, const Place& folder, const char* name) {
  if (node != nullptr && set_name(*node, folder, name)) unpin(*node);
}

// For what makes a name.
int Documents::prepare(Inode parent, const char* name, Place& folder) {
  if (const int error = resolve_folder(parent, name, folder); error != 0) return error;
  return hidden(folder, name) ? EEXIST : 0;
}

// Where the daemon is root, a new file is its own at first: gives it to the caller.
int Documents::give(fuse_req_t req, const Place& folder, int fd) {
  const fuse_ctx* caller = fuse_req_ctx(req);
  if (::geteuid() != 0) return 0;
  struct stat made {};
  struct stat above {};
  if (::fstat(fd, &made) != 0 || ::fstat(folder.fd(), &above) != 0) return errno;
  // Somebody who can write to the folder on the disk may have put another file there: that is not ours to give.
  if (made.st_uid != 0 || (!S_ISDIR(made.st_mode) && made.st_nlink != 1)) return 0;
  const gid_t group = (above.st_mode & S_ISGID) != 0 ? made.st_gid : caller->gid;
  if (made.st_uid == caller->uid && made.st_gid == group) return 0;
  if (::fchownat(fd, "", caller->uid, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0) return 0;
  // File systems without owners (vfat) refuse; all files there belong to whom the mount says.
  return errno == EPERM || errno == EOPNOTSUPP ? 0 : errno;
}

// Gives a file that was made set-id bits that were asked for. Only when it is its owner's: a file that runs as its
// owner must not be root's for a moment, and a change of owner clears these bits.
int Documents::add_set_id_bits(int fd, mode_t mode) {
  if ((mode & set_id_bits) == 0) return 0;
  struct stat made {};
  if (::fstat(fd, &made) != 0) return errno;
  return ::chmod(proc_path(fd).c_str(), (made.st_mode & 01777) | (mode & set_id_bits)) == 0 ? 0 : errno;
}

// `mode`: the type, and set-id bits to be set.
int Documents::enter_new(fuse_req_t req, const Place& folder, const char* name, mode_t mode, fuse_entry_param& entry) {
  const mode_t type = mode & S_IFMT;
  int error = 0;
  Path path = open_path(folder.fd(), name, error);
  if (!path) return error;
  struct stat made {};
  if (::fstat(path->get(), &made) != 0) return errno;
  if ((made.st_mode & S_IFMT) != type) return ESTALE;
  error = give(req, folder, path->get());
  if (error == 0) error = add_set_id_bits(path->get(), mode);
  if (error != 0) {
    ::unlinkat(folder.fd(), name, S_ISDIR(type) ? AT_REMOVEDIR : 0);
    return error;
  }
  return enter(folder, name, std::move(path), entry);
}

// A new file, open; EEXIST if there is one. `flags` as open(2) has them.
int Documents::create_file(fuse_req_t req, const Place& folder, const char* name, mode_t mode, int flags,
                           Descriptor& file) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(open_flags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC);
  how.mode = mode & 01777;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  {
    const CallersUmask umask_of_caller{req};
    file = Descriptor{static_cast<int>(::syscall(SYS_openat2, folder.fd(), name, &how, sizeof how))};
  }
  if (!file) return errno;
  int error = give(req, folder, file.get());
  if (error == 0) error = add_set_id_bits(file.get(), mode);
  if (error != 0) ::unlinkat(folder.fd(), name, 0);
  return error;
}

void Documents::create(fuse_req_t req, Inode parent, const char* name, mode_t mode, fuse_file_info* fi) {
  Place folder;
  fuse_entry_param entry{};
  Descriptor file;
  int error = prepare(parent, name, folder);
  if (error == 0 && handles_.size() >= limits_.max_handles) error = ENFILE;
  if (error == 0) {
    error = create_file(req, folder, name, mode, fi->flags, file);
    if (error == EEXIST && (fi->flags & O_EXCL) == 0) {
      // It came in behind the mount. At this error the kernel looks the name up again and then opens what it finds,
      // which checks the caller's permissions; nobody else would.
      error = ESTALE;
    } else if (error == 0) {
      Descriptor path{::open(proc_path(file.get()).c_str(), O_PATH | O_CLOEXEC)};
      error = path ? enter(folder, name, std::make_shared<Descriptor>(std::move(path)), entry) : errno;
    }
  }
  if (error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  fi->fh = add_handle(folder, entry.ino, std::move(file), nullptr);
  if (fuse_reply_create(req, &entry, fi) != 0) {
    handles_.erase(fi->fh);
    forget_one(entry.ino, 1);
  }
}

void Documents::mknod(fuse_req_t req, Inode parent, const char* name, mode_t mode, dev_t) {
  Place folder;
  fuse_entry_param entry{};
  int error = prepare(parent, name, folder);
  const mode_t type = (mode & S_IFMT) == 0 ? S_IFREG : mode & S_IFMT;
  if (error == 0 && S_ISREG(type)) {
    Descriptor file;
    error = create_file(req, folder, name, mode, O_WRONLY, file);
    if (error == 0) error = enter(folder, name, entry);
  } else if (error == 0 && (S_ISFIFO(type) || S_ISSOCK(type))) {
    {
      const CallersUmask umask_of_caller{req};
      if (::mknodat(folder.fd(), name, type | (mode & 01777), 0) != 0) error = errno;
    }
    if (error == 0) error = enter_new(req, folder, name, type | (mode & set_id_bits), entry);
  } else if (error == 0) {
    error = EPERM;
  }
  reply_entry(req, error, entry);
}

void Documents::mkdir(fuse_req_t req, Inode parent, const char* name, mode_t mode) {
  Place folder;
  fuse_entry_param entry{};
  int error = prepare(parent, name, folder);
  if (error == 0) {
    const CallersUmask umask_of_caller{req};
    if (::mkdirat(folder.fd(), name, mode & 01777) != 0) error = errno;
  }
  if (error == 0) error = enter_new(req, folder, name, S_IFDIR, entry);
  reply_entry(req, error, entry);
}

void Documents::symlink(fuse_req_t req, const char* target, Inode parent, const char* name) {
  Place folder;
  fuse_entry_param entry{};
  int error = prepare(parent, name, folder);
  if (error == 0 && ::symlinkat(target, folder.fd(), name) != 0) error = errno;
  if (error == 0) error = enter_new(req, folder, name, S_IFLNK, entry);
  reply_entry(req, error, entry);
}

void Documents::link(fuse_req_t req, Inode inode, Inode new_parent, const char* new_name) {
  Place file;
  Place folder;
  fuse_entry_param entry{};
  int error = resolve(inode, file);
  if (error == 0) error = prepare(new_parent, new_name, folder);
  if (error == 0 && file.node == nullptr) error = EPERM;
  if (error == 0 && file.storage != folder.storage) error = EXDEV;
  if (error == 0 && ::linkat(AT_FDCWD, proc_path(file.fd()).c_str(), folder.fd(), new_name, AT_SYMLINK_FOLLOW) != 0) {
    error = errno;
  }
  if (error == 0) error = enter(folder, new_name, entry);
  reply_entry(req, error, entry);
}

void Documents::unlink(fuse_req_t req, Inode parent, const char* name) { remove(req, parent, name, 0); }
void Documents::rmdir(fuse_req_t req, Inode parent, const char* name) { remove(req, parent, name, AT_REMOVEDIR); }

void Documents::remove(fuse_req_t req, Inode parent, const char* name, int flags) {
  Place folder;
  int error = resolve_folder(parent, name, folder);
  if (error == 0 && hidden(folder, name)) error = EPERM;
  if (error == 0) {
    // Open files live on without a name.
    Path path;
    Node* node = find_named(folder, name, path);
    if (node != nullptr && (node->parent != folder.node || node->name != name)) node = nullptr;
    if (node != nullptr) pin(*node, path);
    if (::unlinkat(folder.fd(), name, flags) != 0) {
      error = errno;
      moved(node, folder, name);
    } else if (node != nullptr && has_names(path->get())) {
      unpin(*node);
    }
  }
  fuse_reply_err(req, error);
}

int Documents::rename_names(const Place& from, const char* name, const Place& to, const char* new_name,
                            unsigned flags) {
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  Path path;
  Path replaced_path;
  Node* node = find_named(from, name, path);
  Node* replaced = find_named(to, new_name, replaced_path);
  if (replaced == node) replaced = nullptr;  // two names of one file: rename(2) does nothing
  if (replaced != nullptr && !exchange && (replaced->parent != to.node || replaced->name != new_name)) {
    replaced = nullptr;  // it has another name still
  }
  if (node != nullptr) pin(*node, path);
  if (replaced != nullptr) pin(*replaced, replaced_path);
  if (::renameat2(from.fd(), name, to.fd(), new_name, flags) != 0) {
    const int error = errno;
    moved(node, from, name);
    moved(replaced, to, new_name);
    return error;
  }
  moved(node, to, new_name);
  if (exchange) {
    moved(replaced, from, name);
  } else if (replaced != nullptr && has_names(replaced_path->get())) {
    unpin(*replaced);
  }
  return 0;
}

void Documents::rename(fuse_req_t req, Inode parent, const char* name, Inode new_parent, const char* new_name,
                       unsigned flags) {
  Place from;
  Place to;
  int error = resolve_folder(parent, name, from);
  if (error == 0) error = resolve_folder(new_parent, new_name, to);
  if (error == 0 && from.storage != to.storage) error = EXDEV;
  if (error == 0 && (flags & ~static_cast<unsigned>(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) error = EINVAL;
  if (error == 0 && (hidden(from, name) || hidden(to, new_name))) error = EPERM;
  if (error == 0) error = rename_names(from, name, to, new_name, flags);
  fuse_reply_err(req, error);
}

}  // namespace sessionfs::fs
