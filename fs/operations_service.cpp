// Services: listening files, whose reads accept one session each.
#include <fcntl.h>
#include <linux/fuse.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fs/operations.hpp"

namespace sessionfs::fs {
namespace {

// libfuse's own layout of a CREATE reply, written here because it knows no FOPEN_STREAM.
struct CreateReply {
  fuse_entry_out entry;
  fuse_open_out open;
};

fuse_attr attr_of(const struct stat& st) {
  fuse_attr attr{};
  attr.ino = st.st_ino;
  attr.mode = st.st_mode;
  attr.nlink = static_cast<std::uint32_t>(st.st_nlink);
  attr.uid = st.st_uid;
  attr.gid = st.st_gid;
  attr.blksize = static_cast<std::uint32_t>(st.st_blksize);
  attr.atime = attr.mtime = attr.ctime = static_cast<std::uint64_t>(st.st_mtim.tv_sec);
  return attr;
}

}  // namespace

ServiceNode& Operations::service_node(const Resident& resident, const std::string& name) {
  if (ServiceNode* node = services_.find(resident.serial, name)) return *node;
  ServiceNode& node = services_.make(resident.serial, name);
  node.name = name;
  return node;
}

bool Operations::service_exists(const ServiceNode& node) {
  const Resident* resident = residents_.find(node.endpoint);
  const Endpoint* endpoint = resident != nullptr ? runtime_.host().find_endpoint(resident->name) : nullptr;
  return !node.removed && endpoint != nullptr && endpoint->services.contains(node.name);
}

void Operations::drop_if_unused(ServiceNode& node) {
  if (node.lookups > 0 || node.handles > 0 || !node.accepts.empty() || service_exists(node)) return;
  services_.unname(node, node.name);
  services_.erase(node.serial);
}

void Operations::create_service(fuse_req_t req, Resident& resident, const std::string& name, int flags) {
  const Endpoint* endpoint = runtime_.host().find_endpoint(resident.name);
  const bool there = endpoint->services.contains(name);
  if (there && (flags & O_EXCL) != 0) {
    fuse_reply_err(req, EEXIST);
    return;
  }
  const auto answer = later(req, EINTR);
  const auto done = [this, answer, name, serial = resident.serial](int error) {
    answer([&](fuse_req_t waiting) {
      const Resident* owner = residents_.find(serial);
      if (error != 0 || owner == nullptr) {
        fuse_reply_err(waiting, error != 0 ? error : ESTALE);
        return;
      }
      ServiceNode& node = service_node(*owner, name);
      auto file = std::make_unique<OpenFile>();
      file->mode = OpenFile::Mode::stream;
      file->inode = inode_of(Kind::service, node.serial);
      struct stat st {};
      attributes(file->inode, st, 0);
      CreateReply reply{};
      reply.entry.nodeid = file->inode;
      reply.entry.attr = attr_of(st);
      reply.open.fh = reinterpret_cast<std::uintptr_t>(file.get());
      reply.open.open_flags = stream_open_flags;
      if (fuse_reply_buf(waiting, reinterpret_cast<const char*>(&reply), sizeof(reply)) != 0) return;
      ++node.lookups;
      ++node.handles;
      (void)file.release();
    });
    runtime_.pump();
  };
  if (there) return done(0);
  walkers_.changes(resident.serial);
  residents_.add_service(resident, name, done);
}

void Operations::read_service(fuse_req_t req, ServiceNode& node, OpenFile& file, std::size_t size, int flags) {
  if (try_accept(req, node, file, size)) return;
  if ((flags & O_NONBLOCK) != 0) {
    fuse_reply_err(req, EAGAIN);
    return;
  }
  Parked request;
  request.kind = Parked::Kind::accept;
  request.req = req;
  request.file = &file;
  request.size = size;
  park(node.accepts, std::move(request));
}

// Gives the name of the next session, or the rest of the one that was begun. True when the request was answered.
bool Operations::try_accept(fuse_req_t req, ServiceNode& node, OpenFile& file, std::size_t size) {
  const Resident* resident = residents_.find(node.endpoint);
  Endpoint* endpoint = resident != nullptr ? runtime_.host().find_endpoint(resident->name) : nullptr;
  if (file.name_left.empty()) {
    if (node.moved_away || (resident != nullptr && resident->stay != Stay::here)) {
      fuse_reply_err(req, ESTALE);
      return true;
    }
    if (node.removed || endpoint == nullptr) {
      fuse_reply_buf(req, nullptr, 0);
      return true;
    }
    file.name_of = runtime_.host().accept(*endpoint, node.name);
    if (!file.name_of) return false;
    walkers_.changes(node.endpoint);
    runtime_.store_changes();
    file.name_left = file.name_of->file_name() + "\n";
  }
  const std::size_t count = std::min(size, file.name_left.size());
  if (fuse_reply_buf(req, file.name_left.data(), count) != 0) {
    // The reader was interrupted: the session is for the next one.
    if (file.name_left.size() == file.name_of->file_name().size() + 1) give_name_back(node, file);
    return true;
  }
  file.name_left.erase(0, count);
  if (file.name_left.empty()) file.name_of = nullptr;
  return true;
}

// A session whose name was not read to its end was not accepted.
void Operations::give_name_back(ServiceNode& node, OpenFile& file) {
  file.name_left.clear();
  const auto session = std::exchange(file.name_of, nullptr);
  const Resident* resident = residents_.find(node.endpoint);
  Endpoint* endpoint = resident != nullptr ? runtime_.host().find_endpoint(resident->name) : nullptr;
  if (!session || endpoint == nullptr || endpoint->frozen || session->state() == State::closed) return;
  runtime_.host().give_back(*endpoint, session);
  arrived(endpoint->name, node.name);
}

// The service is gone: its name is free, its readers get end of file.
void Operations::end_accepts(ServiceNode& node) {
  node.removed = true;
  services_.unname(node, node.name);
  while (!node.accepts.empty()) {
    const auto waiting = std::move(node.accepts.front());
    node.accepts.pop_front();
    fuse_reply_buf(waiting->req, nullptr, 0);
  }
  notify_polls(node.files);
}

void Operations::arrived(const EndpointName& endpoint, const std::string& service) {
  const Resident* resident = residents_.find(endpoint);
  ServiceNode* node = resident != nullptr ? services_.find(resident->serial, service) : nullptr;
  if (node == nullptr) return;
  while (!node->accepts.empty()) {
    auto parked = std::move(node->accepts.front());
    node->accepts.pop_front();
    if (try_accept(parked->req, *node, *parked->file, parked->size)) continue;
    node->accepts.push_front(std::move(parked));
    break;
  }
  notify_polls(node->files);
}

}  // namespace sessionfs::fs
