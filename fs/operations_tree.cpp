// Names, attributes and directories.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

#include "fs/mount.hpp"
#include "fs/operations.hpp"

namespace sessionfs::fs {
namespace {

struct FixedEntry {
  std::string_view name;
  Kind kind;
  mode_t mode;
};

constexpr FixedEntry root_entries[] = {
    {"ctl", Kind::root_ctl, S_IFREG | 0600},
    {"status", Kind::root_status, S_IFREG | 0444},
    {"metrics", Kind::root_metrics, S_IFREG | 0444},
    {"trace", Kind::root_trace, S_IFREG | 0400},
};
constexpr FixedEntry endpoint_entries[] = {
    {"ctl", Kind::ctl, S_IFREG | 0600},           {"status", Kind::status, S_IFREG | 0444},
    {"policy", Kind::policy, S_IFREG | 0644},     {"access", Kind::access, S_IFREG | 0644},
    {"services", Kind::services, S_IFDIR | 0755}, {"sessions", Kind::sessions, S_IFDIR | 0755},
    {".endpoint", Kind::record, S_IFREG | 0600},
};
// What copies a tree takes its files in the order of a folder, or of their numbers: the record comes last, when all
// else is copied, so that what mv(1) copies is still true when it begins to remove.
constexpr Inode last_number = ~Inode{0} >> 1;
constexpr Inode shown_number(Inode inode) {
  return kind_of(inode) == Kind::record ? last_number - serial_of(inode) : inode;
}

constexpr mode_t directory_mode = S_IFDIR | 0755;
constexpr mode_t service_mode = S_IFREG | 0600;
constexpr mode_t session_mode = S_IFREG | 0600;

mode_t mode_of(Kind kind) {
  for (const auto& entry : root_entries)
    if (entry.kind == kind) return entry.mode;
  for (const auto& entry : endpoint_entries)
    if (entry.kind == kind) return entry.mode;
  if (kind == Kind::service) return service_mode;
  if (kind == Kind::session) return session_mode;
  return directory_mode;
}

struct OpenDirectory {
  struct Entry {
    std::string name;
    Inode inode;
    mode_t mode;
  };
  std::vector<Entry> entries;
  std::function<int(std::vector<Entry>&)> fill;  // returns an errno
  bool read = false;
};

}  // namespace

bool Operations::attributes(Inode inode, struct stat& out, pid_t caller) {
  const Kind kind = kind_of(inode);
  out = {};
  out.st_ino = shown_number(inode);
  out.st_mode = mode_of(kind);
  out.st_nlink = S_ISDIR(out.st_mode) ? 2 : 1;
  out.st_uid = getuid();
  out.st_gid = getgid();
  out.st_blksize = static_cast<blksize_t>(max_request_bytes);
  out.st_atim = out.st_mtim = out.st_ctim = started_;
  switch (kind) {
    case Kind::root:
    case Kind::root_ctl:
    case Kind::root_status:
    case Kind::root_metrics:
    case Kind::root_trace:
      return true;
    case Kind::service:
      return services_.find(serial_of(inode)) != nullptr;
    case Kind::session:
      return sessions_.find(serial_of(inode)) != nullptr;
    default:
      break;
  }
  if (residents_.find(serial_of(inode)) == nullptr) return false;
  struct stat folder {};
  if (kind == Kind::endpoint && !documents_.attributes(inode, folder)) {
    out.st_atim = folder.st_atim;
    out.st_mtim = folder.st_mtim;
    out.st_ctim = folder.st_ctim;
  }
  // Tools that copy trees believe the size.
  if (kind == Kind::policy || kind == Kind::access) out.st_size = static_cast<off_t>(text_of(inode).size());
  if (kind == Kind::record) {
    const auto record = record_for(inode, caller, Snapshot::at_look);
    out.st_size = record ? static_cast<off_t>(record->size()) : 0;
  }
  return true;
}

// The number of `name` in `parent`, making the node where it has none yet; 0 and `error` when there is no such file.
Inode Operations::find_child(Inode parent, std::string_view name, int& error) {
  error = ENOENT;
  if (kind_of(parent) == Kind::root) {
    for (const auto& entry : root_entries)
      if (entry.name == name) return inode_of(entry.kind, 0);
    const auto endpoint = EndpointName::parse(name);
    const Resident* resident = endpoint ? residents_.find(*endpoint) : nullptr;
    return resident != nullptr && resident->stay != Stay::arriving ? inode_of(Kind::endpoint, resident->serial) : 0;
  }
  Resident* resident = residents_.find(serial_of(parent));
  if (resident == nullptr) {
    error = ESTALE;
    return 0;
  }
  if (kind_of(parent) == Kind::endpoint) {
    for (const auto& entry : endpoint_entries)
      if (entry.name == name) return inode_of(entry.kind, resident->serial);
    return 0;
  }
  if (kind_of(parent) == Kind::services) {
    const auto service = parse_service_part(name);
    const Endpoint* endpoint = runtime_.host().find_endpoint(resident->name);
    if (!service || endpoint == nullptr || !endpoint->services.contains(*service)) return 0;
    return inode_of(Kind::service, service_node(*resident, *service).serial);
  }
  if (kind_of(parent) == Kind::sessions) {
    const Endpoint* endpoint = runtime_.host().find_endpoint(resident->name);
    const auto dial = DialName::parse(name);
    const std::string key = dial ? dial->str() : std::string(name);
    const auto session = endpoint->sessions.find(key);
    if (session != endpoint->sessions.end() && session->second->accepted())
      return inode_of(Kind::session, node_of(resident->serial, key, session->second).serial);
    // Every name that could be dialled is there: the waiting happens in open, which holds up nobody else.
    if (dial) return inode_of(Kind::session, node_of(resident->serial, key, nullptr).serial);
  }
  return 0;
}

void Operations::lookup(fuse_req_t req, Inode parent, const char* name) {
  int error = 0;
  const Inode inode = find_child(parent, name, error);
  if (inode == 0) {
    fuse_reply_err(req, error);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = inode;
  if (!attributes(inode, entry.attr, fuse_req_ctx(req)->pid)) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  if (kind_of(inode) == Kind::session) ++sessions_.find(serial_of(inode))->lookups;
  if (kind_of(inode) == Kind::service) ++services_.find(serial_of(inode))->lookups;
  if (fuse_reply_entry(req, &entry) != 0) forget(inode, 1);  // the caller is gone, and the kernel has not taken it
}

void Operations::forget(Inode inode, std::uint64_t count) {
  if (kind_of(inode) == Kind::session) {
    if (SessionNode* node = sessions_.find(serial_of(inode))) {
      node->lookups -= std::min(count, node->lookups);
      drop_if_unused(*node);
    }
  } else if (kind_of(inode) == Kind::service) {
    if (ServiceNode* node = services_.find(serial_of(inode))) {
      node->lookups -= std::min(count, node->lookups);
      drop_if_unused(*node);
    }
  }
}

void Operations::getattr(fuse_req_t req, Inode inode, fuse_file_info*) {
  struct stat out {};
  if (attributes(inode, out, fuse_req_ctx(req)->pid)) {
    fuse_reply_attr(req, &out, 0);
  } else {
    fuse_reply_err(req, ESTALE);
  }
}

void Operations::setattr(fuse_req_t req, Inode inode, struct stat* attr, int to_set, fuse_file_info* fi) {
  // truncate(1) on rules empties them; everything else is accepted and has no effect.
  const Kind kind = kind_of(inode);
  // touch(1) asks for this when its dial has failed, and says no more when it succeeds.
  if (kind == Kind::session) {
    const SessionNode* node = sessions_.find(serial_of(inode));
    if (node == nullptr || !node->session) {
      fuse_reply_err(req, ENOENT);
      return;
    }
  }
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0 && attr->st_size == 0 && (kind == Kind::policy || kind == Kind::access)) {
    if (Resident* resident = residents_.find(serial_of(inode)))
      (void)(kind == Kind::policy ? residents_.set_policy(*resident, "") : residents_.set_access(*resident, ""));
  }
  getattr(req, inode, fi);
}

void Operations::mkdir(fuse_req_t req, Inode parent, const char* name, mode_t) {
  if (kind_of(parent) != Kind::root) {
    fuse_reply_err(req, EPERM);
    return;
  }
  const auto endpoint = EndpointName::parse(name);
  if (!endpoint) {
    fuse_reply_err(req, EINVAL);
    return;
  }
  const auto answer = later(req, EINTR);
  residents_.create(*endpoint, [this, answer, name = *endpoint](int error) {
    answer([&](fuse_req_t waiting) {
      const Resident* resident = residents_.find(name);
      fuse_entry_param entry{};
      if (error != 0 || resident == nullptr) {
        fuse_reply_err(waiting, error != 0 ? error : EIO);
        return;
      }
      entry.ino = inode_of(Kind::endpoint, resident->serial);
      attributes(entry.ino, entry.attr, 0);
      fuse_reply_entry(waiting, &entry);
    });
    runtime_.pump();
  });
}

void Operations::rmdir(fuse_req_t req, Inode parent, const char* name) {
  if (kind_of(parent) == Kind::root) return remove_endpoint(req, name);
  if (moves_away(req, parent)) {
    fuse_reply_err(req, 0);
    return;
  }
  // `rm -r` removes the fixed folders before their endpoint: they go with it.
  int error = 0;
  const Inode inode = find_child(parent, name, error);
  const Resident* resident = residents_.find(serial_of(parent));
  const Endpoint* endpoint = resident != nullptr ? runtime_.host().find_endpoint(resident->name) : nullptr;
  if (inode == 0 || endpoint == nullptr) {
    fuse_reply_err(req, error);
  } else if (kind_of(inode) == Kind::services) {
    fuse_reply_err(req, endpoint->services.empty() ? 0 : ENOTEMPTY);
  } else if (kind_of(inode) == Kind::sessions) {
    fuse_reply_err(req, endpoint->sessions.empty() ? 0 : ENOTEMPTY);
  } else {
    fuse_reply_err(req, ENOTDIR);
  }
}

void Operations::remove_endpoint(fuse_req_t req, std::string_view name) {
  const auto endpoint = EndpointName::parse(name);
  const Resident* resident = endpoint ? residents_.find(*endpoint) : nullptr;
  const bool is_moving = resident != nullptr && walkers_.moving(resident->serial);
  const auto is_on_its_way = [&] { return resident->stay != Stay::here && resident->stay != Stay::storage_away; };
  int error = 0;
  if (resident == nullptr) {
    error = std::ranges::find(root_entries, name, &FixedEntry::name) != std::end(root_entries) ? ENOTDIR : ENOENT;
  } else if (*endpoint == residents_.default_name() || (is_on_its_way() && !is_moving)) {
    error = EBUSY;
  } else if (!documents_.empty(resident->serial)) {
    error = ENOTEMPTY;
  }
  if (error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  if (is_moving) {
    walkers_.forget(resident->serial);
    const auto answer = later(req, EINTR);
    travel_.finish_move(*residents_.find(*endpoint), [answer](int failed, const std::string&) {
      answer([failed](fuse_req_t waiting) { fuse_reply_err(waiting, failed); });
    });
    return;
  }
  const auto answer = later(req, EINTR);
  residents_.remove(*endpoint, [this, answer](int failed) {
    answer([failed](fuse_req_t waiting) { fuse_reply_err(waiting, failed); });
    runtime_.pump();
  });
}

void Operations::unlink(fuse_req_t req, Inode parent, const char* name) {
  if (moves_away(req, parent)) {
    fuse_reply_err(req, 0);
    return;
  }
  Resident* resident = residents_.find(serial_of(parent));
  const Kind kind = kind_of(parent);
  if (kind == Kind::root || resident == nullptr) {
    fuse_reply_err(req, EPERM);
  } else if (resident->stay != Stay::here && kind != Kind::endpoint) {
    fuse_reply_err(req, ESTALE);
  } else if (kind == Kind::services) {
    const auto service = parse_service_part(name);
    const Endpoint* endpoint = runtime_.host().find_endpoint(resident->name);
    if (!service || !endpoint->services.contains(*service)) {
      fuse_reply_err(req, ENOENT);
      return;
    }
    ServiceNode& node = service_node(*resident, *service);
    walkers_.changes(resident->serial);
    residents_.remove_service(*resident, *service);
    end_accepts(node);
    drop_if_unused(node);
    fuse_reply_err(req, 0);
  } else if (kind == Kind::sessions) {
    unlink_session(req, *resident, name);
  } else {
    // `rm -r` removes the fixed files before their endpoint: they go with it.
    int error = 0;
    const Inode inode = find_child(parent, name, error);
    fuse_reply_err(req, inode == 0 ? error : S_ISDIR(mode_of(kind_of(inode))) ? EISDIR : 0);
  }
}

void Operations::unlink_session(fuse_req_t req, Resident& resident, const std::string& name) {
  const auto dial = DialName::parse(name);
  const std::string key = dial ? dial->str() : name;
  Endpoint* endpoint = runtime_.host().find_endpoint(resident.name);
  const auto found = endpoint->sessions.find(key);
  if (found == endpoint->sessions.end()) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  const auto session = found->second;
  part_with(resident, session, &Host::close);
  fuse_reply_err(req, 0);
}

// Closes or aborts. The name is free at once, however long the session still delivers: the next dial makes a new one.
// The caller holds `session` itself: all entries of it may go.
void Operations::part_with(const Resident& resident, const std::shared_ptr<Session>& session,
                           void (Host::*act)(Session&, Time)) {
  walkers_.changes(resident.serial);
  if (SessionNode* node = sessions_.find(resident.serial, session->file_name())) {
    sessions_.unname(*node, session->file_name());
    node->unlinked = true;
  }
  (runtime_.host().*act)(*session, runtime_.now());
  runtime_.pump();
  wake(session);
}

void Operations::opendir(fuse_req_t req, Inode inode, fuse_file_info* fi) {
  auto directory = std::make_unique<OpenDirectory>();
  directory->fill = [this, inode](std::vector<OpenDirectory::Entry>& entries) {
    entries = {{".", inode, directory_mode}, {"..", 1, directory_mode}};
    const Kind kind = kind_of(inode);
    const Resident* resident = kind == Kind::root ? nullptr : residents_.find(serial_of(inode));
    if (kind != Kind::root && resident == nullptr) return ESTALE;
    if (kind == Kind::root) {
      for (const auto& entry : root_entries)
        entries.push_back({std::string(entry.name), inode_of(entry.kind, 0), entry.mode});
      for (const auto& [name, known] : residents_.all())
        if (known.stay != Stay::arriving)
          entries.push_back({name.str(), inode_of(Kind::endpoint, known.serial), directory_mode});
    } else if (kind == Kind::endpoint) {
      std::vector<Documents::Entry> documents;
      if (const auto error = documents_.list(inode, documents)) return error.value();
      for (const auto& entry : documents) entries.push_back({entry.name, entry.inode, mode_t(DTTOIF(entry.type))});
      for (const auto& entry : endpoint_entries)
        entries.push_back({std::string(entry.name), inode_of(entry.kind, resident->serial), entry.mode});
    } else if (kind == Kind::services) {
      for (const auto& [name, service] : runtime_.host().find_endpoint(resident->name)->services)
        entries.push_back({name, inode_of(Kind::service, service_node(*resident, name).serial), service_mode});
    } else {
      for (const auto& [name, session] : runtime_.host().find_endpoint(resident->name)->sessions)
        if (session->state() != State::connecting && session->accepted())
          entries.push_back(
              {name, inode_of(Kind::session, node_of(resident->serial, name, session).serial), session_mode});
    }
    return 0;
  };
  if (const int error = directory->fill(directory->entries); error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  fi->fh = reinterpret_cast<std::uintptr_t>(directory.get());
  if (fuse_reply_open(req, fi) == 0) (void)directory.release();
}

void Operations::readdir(fuse_req_t req, Inode, std::size_t size, off_t offset, fuse_file_info* fi) {
  auto& directory = *reinterpret_cast<OpenDirectory*>(fi->fh);
  const auto& entries = directory.entries;
  if (offset == 0 && std::exchange(directory.read, true)) {
    // rewinddir(3) shows what has come since.
    if (const int error = directory.fill(directory.entries); error != 0) {
      fuse_reply_err(req, error);
      return;
    }
  }
  std::vector<char> buffer(size);
  std::size_t used = 0;
  for (auto i = static_cast<std::size_t>(offset); i < entries.size(); ++i) {
    struct stat attr {};
    attr.st_ino = shown_number(entries[i].inode);
    attr.st_mode = entries[i].mode;
    const std::size_t needed = fuse_add_direntry(req, buffer.data() + used, size - used, entries[i].name.c_str(), &attr,
                                                 static_cast<off_t>(i + 1));
    if (needed > size - used) break;
    used += needed;
  }
  fuse_reply_buf(req, buffer.data(), used);
}

void Operations::fsyncdir(fuse_req_t req, Inode inode) {
  // What is in an endpoint's folder beside documents is stored when it is made.
  fuse_reply_err(req, kind_of(inode) == Kind::endpoint ? documents_.sync_folder(inode).value() : 0);
}

void Operations::releasedir(fuse_req_t req, Inode, fuse_file_info* fi) {
  delete reinterpret_cast<OpenDirectory*>(fi->fh);
  fuse_reply_err(req, 0);
}

}  // namespace sessionfs::fs
