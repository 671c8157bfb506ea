// The table of documents: storages, nodes, their descriptors.
#include "fs/documents.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace sessionfs::fs {
namespace {

// A document's serial is the storage's index and the backing inode number, so that readdir can tell it without a table
// entry; where that does not fit, or is taken, the highest bit and a count.
constexpr unsigned number_bits = 44;
constexpr unsigned index_bits = 14;
constexpr std::uint64_t counted_serial = std::uint64_t{1} << (number_bits + index_bits);
static_assert(number_bits + index_bits + 1 + kind_bits <= 64);

// statfs(2) types whose names and inode numbers behave as on Unix. Others get the careful treatment.
constexpr std::array<std::uint32_t, 8> unix_types = {
    0xEF53,      // ext2, ext3, ext4
    0x58465342,  // xfs
    0x9123683E,  // btrfs
    0x01021994,  // tmpfs
    0xF2F52010,  // f2fs
    0x794C7630,  // overlayfs
    0x2FC12FC1,  // zfs
    0xCA451A4E,  // bcachefs
};
constexpr std::array<std::uint32_t, 2> renumbering_types = {
    0x4D44,      // vfat
    0x2011BAB0,  // exfat
};

template <std::size_t n>
bool contains(const std::array<std::uint32_t, n>& types, std::uint32_t type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace

Documents::Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Documents::Descriptor& Documents::Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

std::size_t Documents::KeyHash::operator()(const Key& key) const {
  return std::hash<std::uint64_t>{}(key.second * 0x9E3779B97F4A7C15U ^ key.first);
}

Documents::Documents(Limits limits) : limits_(limits) {}
Documents::~Documents() = default;

std::uint64_t Documents::raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return before;
  return limit.rlim_cur;
}

Documents::Limits Documents::limits_for(std::uint64_t descriptors) {
  const Limits most;
  return {.max_path_descriptors = std::min<std::size_t>(most.max_path_descriptors, descriptors / 4),
          .max_handles = std::min<std::size_t>(most.max_handles, descriptors / 2)};
}

void Documents::configure(fuse_conn_info& connection) {
  // The daemon may be root: then the storage would not drop set-id bits after a user's write. The kernel does when
  // asked.
  connection.want &= ~static_cast<unsigned>(FUSE_CAP_HANDLE_KILLPRIV);
  // Without this, an ACL's mask in a file's group bits would give its group more than the ACL does.
  connection.want |= connection.capable & static_cast<unsigned>(FUSE_CAP_POSIX_ACL);
  // A folder's default ACL takes the umask's place; only the storage knows which holds.
  connection.want |= connection.capable & static_cast<unsigned>(FUSE_CAP_DONT_MASK);
  // Sizes and times are the storage's.
  connection.want &= ~static_cast<unsigned>(FUSE_CAP_WRITEBACK_CACHE);
}

bool Documents::is_reserved(std::string_view name) {
  return std::find(reserved_names.begin(), reserved_names.end(), name) != reserved_names.end();
}

std::error_code Documents::add_storage(std::uint64_t endpoint_serial, const std::filesystem::path& folder) {
  if (storages_.contains(endpoint_serial)) return code(EEXIST);
  Descriptor opened{::open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!opened) return code(errno);
  struct stat attributes {};
  struct statfs system {};
  if (::fstat(opened.get(), &attributes) != 0 || ::fstatfs(opened.get(), &system) != 0) return code(errno);
  const auto type = static_cast<std::uint32_t>(system.f_type);
  auto storage = std::make_unique<Storage>();
  storage->endpoint = endpoint_serial;
  storage->index = next_storage_++ & ((1U << index_bits) - 1);
  storage->folder = std::make_shared<Descriptor>(std::move(opened));
  storage->device = attributes.st_dev;
  storage->lasting_numbers = !contains(renumbering_types, type);
  storage->exact_names = contains(unix_types, type);
  storages_.emplace(endpoint_serial, std::move(storage));
  return {};
}

void Documents::remove_storage(std::uint64_t endpoint_serial) {
  const auto found = storages_.find(endpoint_serial);
  if (found == storages_.end()) return;
  Storage* storage = found->second.get();
  for (auto& [serial, node] : nodes_) {
    if (node->storage != storage) continue;
    drop_recent(*node);
    node->path.reset();
    node->pinned = false;
    node->storage = nullptr;
  }
  for (auto& [id, open_handle] : handles_) {
    if (open_handle.endpoint != endpoint_serial) continue;
    open_handle.file = Descriptor{};
    open_handle.dir.reset();
  }
  storages_.erase(found);
}

Documents::Path Documents::open_path(int folder, const char* name, int& error) {
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  Descriptor opened{static_cast<int>(::syscall(SYS_openat2, folder, name, &how, sizeof how))};
  error = opened ? 0 : errno;
  return opened ? std::make_shared<Descriptor>(std::move(opened)) : nullptr;
}

// Leads to the very file of a descriptor, also an O_PATH one.
std::string Documents::proc_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

int Documents::identify(int fd, struct stat& attributes, Identity& identity) {
  struct statx found {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &found) != 0) return errno;
  attributes = {};
  attributes.st_dev = makedev(found.stx_dev_major, found.stx_dev_minor);
  attributes.st_ino = found.stx_ino;
  attributes.st_mode = found.stx_mode;
  attributes.st_nlink = found.stx_nlink;
  attributes.st_uid = found.stx_uid;
  attributes.st_gid = found.stx_gid;
  attributes.st_rdev = makedev(found.stx_rdev_major, found.stx_rdev_minor);
  attributes.st_size = static_cast<off_t>(found.stx_size);
  attributes.st_blocks = static_cast<blkcnt_t>(found.stx_blocks);
  attributes.st_atim = {found.stx_atime.tv_sec, found.stx_atime.tv_nsec};
  attributes.st_mtim = {found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec};
  attributes.st_ctim = {found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec};
  identity = {.device = attributes.st_dev, .number = attributes.st_ino, .birth_ns = 0};
  if ((found.stx_mask & STATX_BTIME) != 0) {
    // As a mere label it may wrap.
    identity.birth_ns = static_cast<std::int64_t>(static_cast<std::uint64_t>(found.stx_btime.tv_sec) * 1'000'000'000U +
                                                  found.stx_btime.tv_nsec);
  }
  return 0;
}

int Documents::resolve(Inode inode, Place& place) {
  if (kind_of(inode) == Kind::endpoint) {
    const auto found = storages_.find(serial_of(inode));
    if (found == storages_.end()) return ESTALE;
    place = {.storage = found->second.get(), .node = nullptr, .path = found->second->folder};
    return 0;
  }
  const auto found = nodes_.find(serial_of(inode));
  if (kind_of(inode) != Kind::document || found == nodes_.end()) return ESTALE;
  Node& node = *found->second;
  if (node.storage == nullptr) return ESTALE;
  int error = reopen(node);
  if (error == ESTALE) {
    // The name by which it was known is gone; others may be left, and somebody may have it open.
    const auto open = std::find_if(handles_.begin(), handles_.end(), [inode](const auto& entry) {
      return entry.second.inode == inode && entry.second.file;
    });
    if (open == handles_.end()) return error;
    Descriptor path{::open(proc_path(open->second.file.get()).c_str(), O_PATH | O_CLOEXEC)};
    if (!path) return errno;
    node.path = std::make_shared<Descriptor>(std::move(path));
    keep_recent(node);
    error = 0;
  }
  if (error != 0) return error;
  place = {.storage = node.storage, .node = &node, .path = node.path};
  return 0;
}

int Documents::resolve_folder(Inode inode, const char* name, Place& place) {
  const std::string_view text = name;
  if (text.empty() || text == "." || text == ".." || text.find('/') != std::string_view::npos) return EINVAL;
  if (const int error = resolve(inode, place); error != 0) return error;
  return place.node != nullptr && !S_ISDIR(place.node->type) ? ENOTDIR : 0;
}

// Makes sure that the node has its descriptor.
int Documents::reopen(Node& node) {
  // From the nearest folder that is open still, down to the node: not by recursion, since trees may be deep.
  std::vector<Node*> closed;
  Node* next = &node;
  while (next != nullptr && !next->path) {
    closed.push_back(next);
    next = next->parent;
  }
  if (next != nullptr) keep_recent(*next);
  Path folder = next != nullptr ? next->path : node.storage->folder;
  for (auto at = closed.rbegin(); at != closed.rend(); ++at) {
    Node& child = **at;
    int error = 0;
    Path path = open_path(folder->get(), child.name.c_str(), error);
    if (!path) return error == ENOENT || error == ENOTDIR ? ESTALE : error;
    struct stat attributes {};
    Identity identity;
    if (error = identify(path->get(), attributes, identity); error != 0) return error;
    const bool same = identity.device == child.identity.device && identity.number == child.identity.number &&
                      identity.birth_ns == child.identity.birth_ns;
    if (!same) {
      if (child.storage->lasting_numbers || (attributes.st_mode & S_IFMT) != child.type) return ESTALE;
      if (find(*child.storage, child.identity) == &child) {
        child.storage->known.erase({child.identity.device, child.identity.number});
      }
      child.identity = identity;
      child.storage->known[{identity.device, identity.number}] = &child;
    }
    child.path = path;
    keep_recent(child);
    folder = std::move(path);
  }
  return 0;
}

void Documents::keep_recent(Node& node) {
  if (node.pinned) return;
  if (node.recent) {
    recent_.splice(recent_.begin(), recent_, node.position);
    return;
  }
  recent_.push_front(&node);
  node.position = recent_.begin();
  node.recent = true;
  while (recent_.size() > std::max<std::size_t>(limits_.max_path_descriptors, 1)) {
    Node* oldest = recent_.back();
    drop_recent(*oldest);
    oldest->path.reset();
  }
}

void Documents::drop_recent(Node& node) {
  if (!node.recent) return;
  recent_.erase(node.position);
  node.recent = false;
}

void Documents::pin(Node& node, const Path& path) {
  if (!node.path) node.path = path;
  drop_recent(node);
  node.pinned = true;
}

void Documents::unpin(Node& node) {
  if (!node.pinned) return;
  node.pinned = false;
  keep_recent(node);
}

// False, and nothing done, where the table would get a circle: a folder was moved behind the mount's back.
bool Documents::set_name(Node& node, const Place& folder, const char* name) {
  if (S_ISDIR(node.type)) {
    for (const Node* above = folder.node; above != nullptr; above = above->parent) {
      if (above == &node) return false;
    }
  }
  if (node.name != name) node.name = name;
  if (node.parent == folder.node) return true;
  Node* former = std::exchange(node.parent, folder.node);
  if (folder.node != nullptr) ++folder.node->children;
  if (former != nullptr) {
    --former->children;
    drop_if_unused(former);
  }
  return true;
}

void Documents::drop_if_unused(Node* node) {
  while (node != nullptr && node->lookups == 0 && node->children == 0) {
    Node* parent = node->parent;
    drop_recent(*node);
    if (node->storage != nullptr && find(*node->storage, node->identity) == node) {
      node->storage->known.erase({node->identity.device, node->identity.number});
    }
    nodes_.erase(node->serial);
    if (parent != nullptr) --parent->children;
    node = parent;
  }
}

Inode Documents::inode_in(std::uint64_t storage_index, ino_t number) {
  return inode_of(Kind::document, storage_index << number_bits | (number & ((ino_t{1} << number_bits) - 1)));
}

std::uint64_t Documents::new_serial(const Storage& storage, const Identity& identity) {
  if (identity.device == storage.device && identity.number >> number_bits == 0) {
    const std::uint64_t serial = serial_of(inode_in(storage.index, identity.number));
    if (!nodes_.contains(serial)) return serial;
  }
  std::uint64_t serial = 0;
  do {
    serial = counted_serial | (next_serial_++ & (counted_serial - 1));
  } while (nodes_.contains(serial));
  return serial;
}

Documents::Node* Documents::find(const Storage& storage, const Identity& identity) const {
  const auto found = storage.known.find({identity.device, identity.number});
  if (found == storage.known.end()) return nullptr;
  // A descriptor keeps the file's number from being used again. Without one, the birth time tells.
  Node* node = found->second;
  const bool same = node->path || !storage.lasting_numbers || node->identity.birth_ns == identity.birth_ns;
  return same ? node : nullptr;
}

Documents::Node& Documents::find_or_add(Storage& storage, const Identity& identity, mode_t type) {
  if (Node* found = find(storage, identity); found != nullptr && found->type == type) return *found;
  auto node = std::make_unique<Node>();
  node->serial = new_serial(storage, identity);
  node->storage = &storage;
  node->identity = identity;
  node->type = type;
  Node* added = node.get();
  nodes_.emplace(added->serial, std::move(node));
  storage.known[{identity.device, identity.number}] = added;
  return *added;
}

void Documents::show(struct stat& attributes, Inode inode) const {
  attributes.st_ino = inode;
  attributes.st_blksize = document_block_bytes;
}

// Where one file answers to several names (vfat), a reserved one may be reached by another spelling.
bool Documents::hidden(const Place& folder, const char* name) const {
  if (folder.node != nullptr) return false;
  if (is_reserved(name)) return true;
  if (folder.storage->exact_names) return false;
  int error = 0;
  const Path named = open_path(folder.fd(), name, error);
  struct stat here {};
  if (!named || ::fstat(named->get(), &here) != 0) return false;
  return std::any_of(reserved_names.begin(), reserved_names.end(), [&](std::string_view reserved) {
    int ignored = 0;
    const Path other = open_path(folder.fd(), reserved.data(), ignored);
    struct stat there {};
    return other && ::fstat(other->get(), &there) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
  });
}

// Counts a lookup of the file that `path` holds, and fills in what the kernel is told of it.
int Documents::enter(const Place& folder, const char* name, Path path, fuse_entry_param& entry) {
  entry = {};
  Identity identity;
  if (const int error = identify(path->get(), entry.attr, identity); error != 0) return error;
  Node& node = find_or_add(*folder.storage, identity, entry.attr.st_mode & S_IFMT);
  ++node.lookups;
  if (!node.path) node.path = std::move(path);
  if (set_name(node, folder, name)) {
    node.pinned = false;
    keep_recent(node);
  } else {
    pin(node, node.path);
  }
  entry.ino = inode_of(Kind::document, node.serial);
  entry.attr_timeout = document_attr_timeout_s;
  entry.entry_timeout = document_entry_timeout_s;
  show(entry.attr, entry.ino);
  return 0;
}

int Documents::enter(const Place& folder, const char* name, fuse_entry_param& entry) {
  int error = 0;
  Path path = open_path(folder.fd(), name, error);
  return path ? enter(folder, name, std::move(path), entry) : error;
}

void Documents::reply_entry(fuse_req_t req, int error, const fuse_entry_param& entry) {
  if (error != 0) {
    fuse_reply_err(req, error);
  } else if (fuse_reply_entry(req, &entry) != 0) {
    forget_one(entry.ino, 1);  // the caller is gone, and the kernel has not taken it
  }
}

}  // namespace sessionfs::fs
