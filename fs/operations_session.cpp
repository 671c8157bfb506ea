// Session files: dialling, opening and letting go, poll, and the requests that wait.
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "fs/mount.hpp"
#include "fs/operations.hpp"
#include "fs/reply.hpp"

namespace sessionfs::fs {

int errno_of(Failure failure) {
  switch (failure) {
    case Failure::none:
      return 0;
    case Failure::no_endpoint:
    case Failure::no_service:
      return ENOENT;
    case Failure::access:
    case Failure::backlog_full:
      return ECONNREFUSED;
    case Failure::unreachable:
      return EHOSTUNREACH;
    case Failure::timed_out:
      return ETIMEDOUT;
    case Failure::untrusted:
      return EKEYREJECTED;
    case Failure::version:
      return EPROTONOSUPPORT;
    case Failure::aborted_here:
    case Failure::lost:
      return ECONNRESET;
    case Failure::superseded:
      return ESTALE;
  }
  return EIO;
}

// --- waiting ------------------------------------------------------------------------------------------------------

Parked& Operations::park(ParkedQueue& queue, Parked request) {
  auto owned = std::make_unique<Parked>(std::move(request));
  Parked& parked = *owned;
  parked.queue = &queue;
  parked.owner = this;
  queue.push_back(std::move(owned));
  // May call back at once, when the request was interrupted already: the last thing to do here.
  fuse_req_interrupt_func(parked.req, interrupted, &parked);
  return parked;
}

void Operations::interrupted(fuse_req_t, void* parked) {
  auto& request = *static_cast<Parked*>(parked);
  static_cast<Operations*>(request.owner)->interrupt(request);
}

void Operations::interrupt(Parked& parked) {
  const auto place = std::ranges::find_if(*parked.queue, [&](const auto& waiting) { return waiting.get() == &parked; });
  if (place == parked.queue->end()) return;
  const auto keep = std::move(*place);
  parked.queue->erase(place);
  SessionNode* node = keep->session;
  if (keep->kind == Parked::Kind::write && keep->done > 0) {
    fuse_reply_write(keep->req, keep->done);
  } else if (keep->kind == Parked::Kind::open) {
    fuse_reply_err(keep->req, ETIMEDOUT);  // EINTR would make shells open it again for ever
    if (node->opens.empty() && node->session && !node->opened) {
      const auto session = node->session;
      runtime_.host().abort(*session, runtime_.now());
      runtime_.pump();
    }
  } else {
    fuse_reply_err(keep->req, EINTR);
  }
}

// --- opening ------------------------------------------------------------------------------------------------------

SessionNode& Operations::node_of(std::uint64_t endpoint, const std::string& file_name,
                                 std::shared_ptr<Session> session) {
  SessionNode* node = sessions_.find(endpoint, file_name);
  if (node == nullptr) {
    node = &sessions_.make(endpoint, file_name);
    node->file_name = file_name;
  }
  if (session && !node->session) {
    by_session_[session.get()] = node;
    node->opened = session->state() != State::connecting;
    node->session = std::move(session);
  }
  return *node;
}

void Operations::drop_if_unused(SessionNode& node) {
  if (node.lookups > 0 || node.handles > 0 || !node.opens.empty()) return;
  if (node.session) {
    if (!node.unlinked) return;
    by_session_.erase(node.session.get());
  }
  sessions_.unname(node, node.file_name);
  sessions_.erase(node.serial);
}

void Operations::forgotten(const Session& session) {
  const auto found = by_session_.find(&session);
  if (found == by_session_.end()) return;
  SessionNode& node = *found->second;
  sessions_.unname(node, node.file_name);
  node.unlinked = true;
  wake(node.session);
  drop_if_unused(node);
}

void Operations::open(fuse_req_t req, Inode inode, fuse_file_info* fi) {
  const Kind kind = kind_of(inode);
  const bool record_view = (fi->flags & O_NOFOLLOW) != 0;
  if (kind == Kind::session && !record_view) {
    SessionNode* node = sessions_.find(serial_of(inode));
    if (node != nullptr) return open_session(req, *node);
    fuse_reply_err(req, ENOENT);
    return;
  }
  if (kind == Kind::service && !record_view) {
    ServiceNode* node = services_.find(serial_of(inode));
    if (node != nullptr && service_exists(*node)) return reply_stream(req, inode);
    fuse_reply_err(req, ENOENT);
    return;
  }
  const bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
  if (kind == Kind::root_trace && !record_view && !writes) return reply_stream(req, inode);
  auto file = std::make_unique<OpenFile>();
  file->inode = inode;
  if (kind == Kind::record) {
    note_walk(req, inode, fi->flags);
    const auto when = record_view ? Snapshot::at_walk : Snapshot::at_open;
    file->record = record_for(inode, fuse_req_ctx(req)->pid, when);
    if (!file->record) {
      fuse_reply_err(req, EFBIG);
      return;
    }
  } else {
    file->text = text_of(inode);
  }
  if (kind == Kind::root_ctl || kind == Kind::ctl) {
    file->mode = OpenFile::Mode::command;
  } else if (kind == Kind::policy || kind == Kind::access) {
    file->mode = OpenFile::Mode::rules;
    file->truncated = writes && (fi->flags & O_TRUNC) != 0;
    if (file->truncated) file->text.clear();
  } else if (writes) {
    fuse_reply_err(req, EACCES);
    return;
  }
  if (kind == Kind::session) {
    const SessionNode* node = sessions_.find(serial_of(inode));
    if (node == nullptr || !node->session) {
      fuse_reply_err(req, ENOENT);
      return;
    }
  }
  fi->direct_io = 1;
  fi->fh = reinterpret_cast<std::uintptr_t>(file.get());
  if (fuse_reply_open(req, fi) == 0) (void)file.release();
}

void Operations::open_session(fuse_req_t req, SessionNode& node) {
  if (!node.session) {
    if (const int error = node.unlinked ? ENOENT : begin_dial(node); error != 0) {
      fuse_reply_err(req, error);
      return;
    }
  }
  if (node.opened) return reply_stream(req, inode_of(Kind::session, node.serial));
  Parked request;
  request.kind = Parked::Kind::open;
  request.req = req;
  request.session = &node;
  park(node.opens, std::move(request));
  runtime_.pump();
}

int Operations::begin_dial(SessionNode& node) {
  const Resident* resident = residents_.find(node.endpoint);
  const auto target = DialName::parse(node.file_name);
  if (resident == nullptr || !target) return ENOENT;
  if (resident->stay != Stay::here) return ESTALE;
  Endpoint* endpoint = runtime_.host().find_endpoint(resident->name);
  if (endpoint == nullptr) return ENOENT;
  // It has been loaded since its name was looked up.
  if (const auto there = endpoint->sessions.find(node.file_name); there != endpoint->sessions.end()) {
    node_of(node.endpoint, node.file_name, there->second);
    return 0;
  }
  auto session = runtime_.host().connect(*endpoint, *target, random_session_id(), random_seed(), runtime_.now());
  if (!session) return ENOSPC;
  walkers_.changes(node.endpoint);
  node.opened = false;
  by_session_[session.get()] = &node;
  node.session = std::move(session);
  return 0;
}

// Answers those who wait for a session to stand, once it does or cannot.
void Operations::finish_opens(SessionNode& node) {
  if (!node.session || node.opened || node.session->state() == State::connecting) return;
  auto waiting = std::move(node.opens);
  node.opens.clear();
  const auto session = node.session;
  const Failure failure = session->state() == State::closed ? session->failure() : Failure::none;
  if (failure != Failure::none) {
    by_session_.erase(session.get());
    node.session = nullptr;
    runtime_.host().close(*session, runtime_.now());
    for (const auto& parked : waiting)
      fuse_reply_err(parked->req, failure == Failure::aborted_here ? ETIMEDOUT : errno_of(failure));
    return drop_if_unused(node);
  }
  node.opened = true;
  for (const auto& parked : waiting) reply_stream(parked->req, inode_of(Kind::session, node.serial));
}

void Operations::reply_stream(fuse_req_t req, Inode inode) {
  auto file = std::make_unique<OpenFile>();
  file->mode = OpenFile::Mode::stream;
  file->inode = inode;
  // libfuse 3.14 knows no FOPEN_STREAM, without which a reader and a writer on one descriptor block each other.
  fuse_open_out out{};
  out.fh = reinterpret_cast<std::uintptr_t>(file.get());
  out.open_flags = stream_open_flags;
  if (fuse_reply_buf(req, reinterpret_cast<const char*>(&out), sizeof(out)) != 0) return;
  if (kind_of(inode) == Kind::session) {
    ++sessions_.find(serial_of(inode))->handles;
  } else if (kind_of(inode) == Kind::service) {
    ++services_.find(serial_of(inode))->handles;
  } else {
    file->lines = trace_.open();
  }
  (void)file.release();
}

void Operations::create(fuse_req_t req, Inode parent, const char* name, mode_t, fuse_file_info* fi) {
  Resident* resident = residents_.find(serial_of(parent));
  if (resident != nullptr && resident->stay != Stay::here) {
    fuse_reply_err(req, ESTALE);
  } else if (kind_of(parent) == Kind::services && resident != nullptr) {
    const auto service = parse_service_part(name);
    if (service) return create_service(req, *resident, *service, fi->flags);
    fuse_reply_err(req, EINVAL);
  } else if (kind_of(parent) == Kind::sessions) {
    fuse_reply_err(req, std::string_view(name).find('@') == std::string_view::npos ? EINVAL : ENOENT);
  } else {
    fuse_reply_err(req, EPERM);
  }
}

void Operations::flush(fuse_req_t req, Inode inode, fuse_file_info* fi) {
  OpenFile& file = OpenFile::of(fi);
  int error = 0;
  if (file.mode == OpenFile::Mode::rules && file.truncated) {
    // `: > access` empties the rules without a write.
    file.truncated = false;
    if (Resident* resident = residents_.find(serial_of(inode)))
      error =
          kind_of(inode) == Kind::policy ? residents_.set_policy(*resident, "") : residents_.set_access(*resident, "");
  }
  fuse_reply_err(req, error);
}

void Operations::release(fuse_req_t req, Inode inode, fuse_file_info* fi) {
  const std::unique_ptr<OpenFile> file(&OpenFile::of(fi));
  fuse_reply_err(req, 0);
  if (file->mode != OpenFile::Mode::stream) return;
  pollers(inode).erase(file.get());
  if (kind_of(inode) == Kind::session) {
    SessionNode& node = *sessions_.find(serial_of(inode));
    --node.handles;
    drop_if_unused(node);
  } else if (kind_of(inode) == Kind::service) {
    ServiceNode& node = *services_.find(serial_of(inode));
    --node.handles;
    give_name_back(node, *file);
    drop_if_unused(node);
  } else {
    trace_.close(file->lines);
  }
}

// --- waking -------------------------------------------------------------------------------------------------------

void Operations::wake(const std::shared_ptr<Session>& session) {
  const auto found = by_session_.find(session.get());
  if (found == by_session_.end()) return;
  const std::uint64_t serial = found->second->serial;
  finish_opens(*found->second);
  SessionNode* node = sessions_.find(serial);
  if (node == nullptr || node->session != session) return;
  // A request leaves its queue before it is answered: answering may bring the next one here.
  const auto answer = [](ParkedQueue& queue, auto&& attempt) {
    while (!queue.empty()) {
      auto parked = std::move(queue.front());
      queue.pop_front();
      if (attempt(*parked)) continue;
      queue.push_front(std::move(parked));
      return;
    }
  };
  answer(node->reads, [&](Parked& parked) { return try_read(parked.req, *node, parked.size); });
  answer(node->writes, [&](Parked& parked) { return try_write(parked, *node); });
  answer(node->syncs, [&](Parked& parked) { return try_sync(parked.req, *node, parked.offset); });
  notify_polls(node->files);
}

void Operations::poll(fuse_req_t req, Inode inode, fuse_file_info* fi, fuse_pollhandle* handle) {
  OpenFile& file = OpenFile::of(fi);
  if (handle != nullptr) {
    if (file.poll != nullptr) fuse_pollhandle_destroy(file.poll);
    file.poll = handle;
    if (file.mode == OpenFile::Mode::stream) pollers(inode).insert(&file);
  }
  fuse_reply_poll(req, poll_events(file));
}

// Those who wait for an event of a stream.
std::set<OpenFile*>& Operations::pollers(Inode inode) {
  switch (kind_of(inode)) {
    case Kind::session:
      return sessions_.find(serial_of(inode))->files;
    case Kind::service:
      return services_.find(serial_of(inode))->files;
    default:
      return trace_files_;
  }
}

unsigned Operations::poll_events(const OpenFile& file) {
  const Inode inode = file.inode;
  if (file.mode != OpenFile::Mode::stream) return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
  if (kind_of(inode) == Kind::root_trace) return trace_.has_more(file.lines) ? POLLIN | POLLRDNORM : 0;
  unsigned events = 0;
  if (kind_of(inode) == Kind::service) {
    if (!file.name_left.empty()) return POLLIN | POLLRDNORM;
    const ServiceNode& node = *services_.find(serial_of(inode));
    const Resident* resident = residents_.find(node.endpoint);
    const Endpoint* endpoint = resident != nullptr ? runtime_.host().find_endpoint(resident->name) : nullptr;
    if (node.removed || endpoint == nullptr) return POLLIN | POLLRDNORM | POLLHUP;
    const auto service = endpoint->services.find(node.name);
    return service != endpoint->services.end() && !service->second.backlog.empty() ? POLLIN | POLLRDNORM : 0;
  }
  const Session& session = *sessions_.find(serial_of(inode))->session;
  const bool failed = session.failure() != Failure::none || session.detached();
  if (session.recv_buffer().readable_bytes() > 0 || session.read_ended() || failed) events |= POLLIN | POLLRDNORM;
  if (session.write_ended() || failed || session.send_buffer().space() > 0) events |= POLLOUT | POLLWRNORM;
  if (session.read_ended()) events |= POLLRDHUP;
  if (session.read_ended() && session.write_ended()) events |= POLLHUP;
  if (failed) events |= POLLERR | POLLHUP;
  return events;
}

void Operations::notify_polls(std::set<OpenFile*>& files) {
  auto waiting = std::move(files);
  files.clear();
  for (OpenFile* file : waiting) {
    fuse_lowlevel_notify_poll(file->poll);
    fuse_pollhandle_destroy(file->poll);
    file->poll = nullptr;
  }
}

}  // namespace sessionfs::fs
