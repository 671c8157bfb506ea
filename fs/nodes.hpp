// What the kernel knows of the mount beside documents: services and sessions with a number each, open files, and the
// requests that wait.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse3/fuse_lowlevel.h>
#include <linux/fuse.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/session.hpp"
#include "fs/inode.hpp"
#include "fs/trace.hpp"

namespace sessionfs::fs {

/// How sessions and services are opened: never cached, no position, and closing them has nothing to say.
inline constexpr std::uint32_t stream_open_flags = FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE | FOPEN_STREAM | FOPEN_NOFLUSH;

struct SessionNode;
struct ServiceNode;

/// An open file of the synthetic part of the tree.
struct OpenFile {
  enum class Mode : std::uint8_t {
    stream,   // the bytes of a session, the names that a service accepts, or the lines of trace
    text,     // a snapshot made at open
    command,  // ctl: lines in; the list of commands out
    rules,    // policy and access: a snapshot; what is written replaces the rules
  };
  Mode mode = Mode::text;
  Inode inode = 0;
  std::string text;
  std::shared_ptr<const std::string> record;  // in place of `text`: it may be large, and several may have it open
  bool truncated = false;
  fuse_pollhandle* poll = nullptr;
  Trace::Reader lines;               // of trace
  std::string name_left;             // of a service: what is still to be read of an accepted session's name
  std::shared_ptr<Session> name_of;  // and whose name it is

  [[nodiscard]] const std::string& shown() const { return record ? *record : text; }

  /// What open() has made for a descriptor.
  static OpenFile& of(const fuse_file_info* fi) { return *reinterpret_cast<OpenFile*>(fi->fh); }

  ~OpenFile() {
    if (poll != nullptr) fuse_pollhandle_destroy(poll);
  }
};

/// A request that waits. It is answered exactly once: when what it waits for has come, or when it is interrupted.
struct Parked {
  enum class Kind : std::uint8_t { open, read, write, sync, accept };
  Kind kind{};
  fuse_req_t req = nullptr;
  OpenFile* file = nullptr;
  std::size_t size = 0;                                 // of a read
  std::vector<std::byte> data;                          // of a write
  std::size_t done = 0;                                 // of it taken so far
  std::uint64_t offset = 0;                             // of a sync: what the peer must hold
  std::list<std::unique_ptr<Parked>>* queue = nullptr;  // where it waits
  void* owner = nullptr;                                // for the interrupt callback
  SessionNode* session = nullptr;
};

using ParkedQueue = std::list<std::unique_ptr<Parked>>;

/// A session's file, or a name that could be dialled.
struct SessionNode {
  std::uint64_t serial = 0;
  std::uint64_t endpoint = 0;
  std::string file_name;
  std::shared_ptr<Session> session;
  bool opened = false;    // the session has stood: it is more than an attempt
  bool unlinked = false;  // its name may be another file's now
  std::uint64_t lookups = 0;
  std::uint64_t handles = 0;
  ParkedQueue opens, reads, writes, syncs;
  std::set<OpenFile*> files;
};

struct ServiceNode {
  std::uint64_t serial = 0;
  std::uint64_t endpoint = 0;
  std::string name;
  bool removed = false;
  bool moved_away = false;  // and its endpoint with it
  std::uint64_t lookups = 0;
  std::uint64_t handles = 0;
  ParkedQueue accepts;
  std::set<OpenFile*> files;
};

/// The table of them: by number, and by endpoint and name.
template <class Node>
class NodeTable {
 public:
  Node* find(std::uint64_t serial) {
    const auto found = nodes_.find(serial);
    return found == nodes_.end() ? nullptr : found->second.get();
  }
  Node* find(std::uint64_t endpoint, const std::string& name) {
    const auto found = names_.find({endpoint, name});
    return found == names_.end() ? nullptr : found->second;
  }
  Node& make(std::uint64_t endpoint, const std::string& name) {
    auto node = std::make_unique<Node>();
    Node& made = *node;
    made.serial = ++last_serial_;
    made.endpoint = endpoint;
    nodes_[made.serial] = std::move(node);
    names_[{endpoint, name}] = &made;
    return made;
  }
  /// The name is free again; the node stays for those who have it open.
  void unname(const Node& node, const std::string& name) {
    const auto found = names_.find({node.endpoint, name});
    if (found != names_.end() && found->second == &node) names_.erase(found);
  }
  void erase(std::uint64_t serial) { nodes_.erase(serial); }
  [[nodiscard]] auto& all() { return nodes_; }

 private:
  std::unordered_map<std::uint64_t, std::unique_ptr<Node>> nodes_;
  std::map<std::pair<std::uint64_t, std::string>, Node*> names_;
  std::uint64_t last_serial_ = 0;
};

}  // namespace sessionfs::fs
