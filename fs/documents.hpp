// An endpoint's documents: the ordinary files and folders in the mount, passed through to the endpoint's own storage.
//
// Each storage is one folder on a disk or stick. It stands behind the inode (Kind::endpoint, endpoint serial); all that
// is found below it gets inodes of Kind::document. No operation leads out of the folder: names are single components
// opened by openat2(2) with RESOLVE_BENEATH and O_NOFOLLOW, symbolic links are returned as text (the kernel follows
// them in the caller's own tree), and other mounts below the folder are not entered (EXDEV), so that the
// daemon cannot wait for its own mount.
//
// Threads: none; all calls come from the one event loop, and call the storage directly.
// Errors: the storage's errno is passed unchanged. ESTALE: the storage was removed, or the file was replaced behind the
// mount's back.
// Mount: needs `default_permissions` where others than the daemon's user get in (the daemon may be root), and `nosuid`
// and `nodev`, because a stick may bring any file.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <dirent.h>
#include <fuse3/fuse_lowlevel.h>
#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/inode.hpp"

namespace sessionfs::fs {

// How long the kernel may use a document's name and attributes without asking. Changes through the mount are seen at
// once in any case; this bounds only those that are made behind it.
inline constexpr double document_entry_timeout_s = 1.0;
inline constexpr double document_attr_timeout_s = 1.0;
// st_blksize of documents: the buffer that cp and cat choose.
inline constexpr long document_block_bytes = 1 << 20;
// One request copies at most this much, so that the event loop goes on; callers repeat, as copy_file_range(2) says.
inline constexpr std::size_t max_copy_bytes = 8 << 20;
// The kernel's own limits for one value and one list of extended attributes (xattr(7)).
inline constexpr std::size_t max_xattr_bytes = 64 << 10;
// `list` gives at most this many names, else EOVERFLOW.
inline constexpr std::size_t max_listed_entries = 1 << 20;
// `remove_all` goes at most this deep, else ELOOP.
inline constexpr unsigned max_removed_depth = 512;

// The names at an endpoint's top that are not documents. A storage may hold files of these names (a copied endpoint
// does): they are never shown, and none can be made.
inline constexpr std::array<std::string_view, 7> reserved_names = {"ctl",      "status",   "policy",   "access",
                                                                   "services", "sessions", ".endpoint"};

class Documents {
 public:
  struct Limits {
    std::size_t max_path_descriptors = 4096;  // kept open for documents that the kernel knows; the others are reopened
    std::size_t max_handles = 65536;          // open files and folders; one more is ENFILE
  };
  struct Entry {
    std::string name;
    Inode inode;         // as a lookup would give it
    unsigned char type;  // DT_REG, DT_DIR, ... of readdir(3); DT_UNKNOWN where the storage does not say
  };

  Documents() : Documents(Limits{}) {}
  explicit Documents(Limits limits);
  ~Documents();
  Documents(const Documents&) = delete;
  Documents& operator=(const Documents&) = delete;

  // Raises the process's soft limit of descriptors to the hard one; returns the limit that holds then.
  static std::uint64_t raise_descriptor_limit();
  // Shares that leave at least a quarter of `descriptors` to sockets and the rest of the daemon.
  static Limits limits_for(std::uint64_t descriptors);
  // What the pass-through wants of the connection, for the `init` operation: access control lists are the kernel's to
  // check (which also switches default_permissions on), so is dropping set-id bits after a write.
  static void configure(fuse_conn_info& connection);
  static bool is_reserved(std::string_view name);

  // Storages. `folder` must be an existing directory and no symbolic link. EEXIST: the endpoint has a storage.
  std::error_code add_storage(std::uint64_t endpoint_serial, const std::filesystem::path& folder);
  // Closes all that is open there, at once: a stick can be unmounted after it. Open files get ESTALE from then on.
  void remove_storage(std::uint64_t endpoint_serial);
  bool has_storage(std::uint64_t endpoint_serial) const { return storages_.contains(endpoint_serial); }
  // Whose document it is; 0 when its storage was removed.
  std::uint64_t endpoint_of(Inode inode) const;
  // Whether somebody has one of its documents open.
  bool in_use(std::uint64_t endpoint_serial) const;
  // True when the storage holds no document (or there is none); false when it cannot be read.
  bool empty(std::uint64_t endpoint_serial) const;
  // Removes all documents, not the reserved names nor the folder. Stops at the first error.
  std::error_code remove_all(std::uint64_t endpoint_serial);
  // All that was written is on the disk when it returns (syncfs(2)).
  std::error_code sync(std::uint64_t endpoint_serial) const;
  // The entries of a folder are on the disk when it returns (fsync(2)).
  std::error_code sync_folder(Inode folder);
  // The names in a folder in the storage's order, without "." and "..", at the top without the reserved ones.
  std::error_code list(Inode folder, std::vector<Entry>& entries);
  // As `getattr` replies them.
  std::error_code attributes(Inode inode, struct stat& attributes);

  // The members of fuse_lowlevel_ops of the same names. Each replies, always, exactly once. `parent` and `inode` are of
  // Kind::document, or Kind::endpoint for the storage's folder.
  void lookup(fuse_req_t req, Inode parent, const char* name);
  void forget(fuse_req_t req, Inode inode, std::uint64_t count);
  void forget_one(Inode inode, std::uint64_t count);  // forget without a reply, for forget_multi
  void getattr(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void setattr(fuse_req_t req, Inode inode, struct stat* attributes, int to_set, fuse_file_info* fi);
  void readlink(fuse_req_t req, Inode inode);
  void mknod(fuse_req_t req, Inode parent, const char* name, mode_t mode, dev_t device);  // EPERM for devices
  void mkdir(fuse_req_t req, Inode parent, const char* name, mode_t mode);
  void unlink(fuse_req_t req, Inode parent, const char* name);
  void rmdir(fuse_req_t req, Inode parent, const char* name);
  void symlink(fuse_req_t req, const char* target, Inode parent, const char* name);
  // EXDEV between endpoints, for both.
  void rename(fuse_req_t req, Inode parent, const char* name, Inode new_parent, const char* new_name, unsigned flags);
  void link(fuse_req_t req, Inode inode, Inode new_parent, const char* new_name);

  void open(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void create(fuse_req_t req, Inode parent, const char* name, mode_t mode, fuse_file_info* fi);
  void read(fuse_req_t req, Inode inode, std::size_t size, off_t offset, fuse_file_info* fi);
  void write(fuse_req_t req, Inode inode, const char* data, std::size_t size, off_t offset, fuse_file_info* fi);
  void flush(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void release(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void fsync(fuse_req_t req, Inode inode, int datasync, fuse_file_info* fi);
  void fallocate(fuse_req_t req, Inode inode, int mode, off_t offset, off_t length, fuse_file_info* fi);
  void lseek(fuse_req_t req, Inode inode, off_t offset, int whence, fuse_file_info* fi);
  // EXDEV unless both are documents: the kernel then copies by read and write.
  void copy_file_range(fuse_req_t req, Inode inode_in, off_t offset_in, fuse_file_info* fi_in, Inode inode_out,
                       off_t offset_out, fuse_file_info* fi_out, std::size_t length, int flags);

  void opendir(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void readdir(fuse_req_t req, Inode inode, std::size_t size, off_t offset, fuse_file_info* fi);
  void releasedir(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void fsyncdir(fuse_req_t req, Inode inode, int datasync, fuse_file_info* fi);
  void statfs(fuse_req_t req, Inode inode);

  void setxattr(fuse_req_t req, Inode inode, const char* name, const char* value, std::size_t size, int flags);
  void getxattr(fuse_req_t req, Inode inode, const char* name, std::size_t size);
  void listxattr(fuse_req_t req, Inode inode, std::size_t size);
  void removexattr(fuse_req_t req, Inode inode, const char* name);

  // For status and tests.
  std::size_t nodes() const { return nodes_.size(); }
  std::size_t path_descriptors() const { return recent_.size(); }
  std::size_t handles() const { return handles_.size(); }

 private:
  static std::error_code code(int error) { return {error, std::generic_category()}; }

  // An open descriptor, closed with its last owner.
  class Descriptor {
   public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept;
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

   private:
    int fd_ = -1;
  };
  // Shared, so that an eviction never closes a descriptor that a call still uses.
  using Path = std::shared_ptr<const Descriptor>;

  // Which file of a storage, while it exists; the birth time tells it from a later one that got its number.
  struct Identity {
    dev_t device = 0;
    ino_t number = 0;
    std::int64_t birth_ns = 0;
  };
  using Key = std::pair<dev_t, ino_t>;
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };
  struct Node;
  struct Storage {
    std::uint64_t endpoint = 0;
    std::uint64_t index = 0;  // part of the documents' serials
    Path folder;
    dev_t device = 0;
    bool lasting_numbers = true;  // inode numbers outlive the kernel's cache (not on vfat and exfat)
    bool exact_names = true;      // one name is one file: no case folding, no short names
    std::unordered_map<Key, Node*, KeyHash> known;
  };
  // A file or folder that the kernel knows. Found again by `parent` and `name` when its descriptor was evicted.
  struct Node {
    std::uint64_t serial = 0;
    Storage* storage = nullptr;  // null once the storage was removed
    Node* parent = nullptr;      // null: at the top
    std::string name;
    Identity identity;
    mode_t type = 0;
    Path path;                  // O_PATH; null when evicted
    bool pinned = false;        // its name is gone: the descriptor is all there is
    std::uint64_t lookups = 0;  // what the kernel will forget
    std::uint64_t children = 0;
    bool recent = false;
    std::list<Node*>::iterator position;  // in recent_, when `recent`
  };
  // A resolved inode.
  struct Place {
    Storage* storage = nullptr;
    Node* node = nullptr;  // null: the storage's folder itself
    Path path;
    int fd() const { return path->get(); }
  };
  struct DirCloser {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  using Dir = std::unique_ptr<DIR, DirCloser>;
  struct Handle {
    std::uint64_t endpoint = 0;
    Descriptor file;
    Dir dir;
    off_t position = 0;   // of `dir`
    bool at_top = false;  // of `dir`: reserved names are skipped
    Inode inode = 0;
    std::uint64_t storage_index = 0;
  };

  // documents.cpp. The functions that return int return an errno, 0 for success.
  static Path open_path(int folder, const char* name, int& error);
  static std::string proc_path(int fd);
  static int identify(int fd, struct stat& attributes, Identity& identity);
  int resolve(Inode inode, Place& place);
  int resolve_folder(Inode inode, const char* name, Place& place);
  int reopen(Node& node);
  void keep_recent(Node& node);
  void drop_recent(Node& node);
  void pin(Node& node, const Path& path);
  void unpin(Node& node);
  bool set_name(Node& node, const Place& folder, const char* name);
  void drop_if_unused(Node* node);
  std::uint64_t new_serial(const Storage& storage, const Identity& identity);
  Node* find(const Storage& storage, const Identity& identity) const;
  Node& find_or_add(Storage& storage, const Identity& identity, mode_t type);
  void show(struct stat& attributes, Inode inode) const;
  bool hidden(const Place& folder, const char* name) const;
  int enter(const Place& folder, const char* name, Path path, fuse_entry_param& entry);
  int enter(const Place& folder, const char* name, fuse_entry_param& entry);
  void reply_entry(fuse_req_t req, int error, const fuse_entry_param& entry);

  // documents_names.cpp
  Node* find_named(const Place& folder, const char* name, Path& path) const;
  void moved(Node* node, const Place& folder, const char* name);
  int prepare(Inode parent, const char* name, Place& folder);
  static int give(fuse_req_t req, const Place& folder, int fd);
  static int add_set_id_bits(int fd, mode_t mode);
  int enter_new(fuse_req_t req, const Place& folder, const char* name, mode_t mode, fuse_entry_param& entry);
  int create_file(fuse_req_t req, const Place& folder, const char* name, mode_t mode, int flags, Descriptor& file);
  int rename_names(const Place& from, const char* name, const Place& to, const char* new_name, unsigned flags);
  void remove(fuse_req_t req, Inode parent, const char* name, int flags);

  // documents_attributes.cpp
  int change(const Place& place, const struct stat& attributes, int to_set, const fuse_file_info* fi);

  // documents_files.cpp
  static int open_flags(int flags);
  static int reopen_file(int path, int flags, Descriptor& file);
  static int drop_set_id_bits(fuse_req_t req, int flags, const Descriptor& file);
  int file_of(const fuse_file_info* fi, int& fd) const;
  std::uint64_t add_handle(const Place& place, Inode inode, Descriptor file, Dir dir);

  // documents_folders.cpp
  static Dir open_folder(int folder, const char* name, int& error);
  static const dirent* next_entry(DIR* dir, bool at_top, int& error);
  static int remove_below(DIR* dir, bool at_top, unsigned depth);
  static Inode inode_in(std::uint64_t storage_index, ino_t number);

  Limits limits_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Storage>> storages_;  // by endpoint serial
  std::unordered_map<std::uint64_t, std::unique_ptr<Node>> nodes_;        // by serial
  std::list<Node*> recent_;                                               // holders of a descriptor, latest first
  std::unordered_map<std::uint64_t, Handle> handles_;
  std::uint64_t next_handle_ = 1;
  std::uint64_t next_serial_ = 0;
  std::uint64_t next_storage_ = 0;
};

}  // namespace sessionfs::fs
