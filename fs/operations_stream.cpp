// Streams: reading, writing and fsync of session files.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "fs/mount.hpp"
#include "fs/operations.hpp"
#include "fs/reply.hpp"

namespace sessionfs::fs {
namespace {

// A reply that fills a request lets the kernel ask for more of the same read(2), which would then wait with data in
// hand: always give a little less.
constexpr std::size_t max_reply_bytes = max_request_bytes - 4096;

std::span<const std::byte> bytes_of(const char* data, std::size_t size) { return std::as_bytes(std::span(data, size)); }

bool nonblocking(int flags) { return (flags & O_NONBLOCK) != 0; }

}  // namespace

void Operations::read(fuse_req_t req, Inode inode, std::size_t size, off_t offset, fuse_file_info* fi) {
  OpenFile& file = OpenFile::of(fi);
  if (file.mode != OpenFile::Mode::stream) {
    if (kind_of(inode) == Kind::record) note_walk(req, inode, fi->flags);
    const std::string_view text = file.shown();
    const auto at = std::min(static_cast<std::size_t>(offset), text.size());
    const auto part = text.substr(at, size);
    fuse_reply_buf(req, part.data(), part.size());
    return;
  }
  if (kind_of(inode) == Kind::service)
    return read_service(req, *services_.find(serial_of(inode)), file, size, fi->flags);
  if (kind_of(inode) == Kind::root_trace) return read_trace(req, file, size, fi->flags);
  SessionNode& node = *sessions_.find(serial_of(inode));
  if (node.reads.empty() && try_read(req, node, size)) return;
  if (nonblocking(fi->flags)) {
    fuse_reply_err(req, EAGAIN);
    return;
  }
  Parked request;
  request.kind = Parked::Kind::read;
  request.req = req;
  request.size = size;
  request.session = &node;
  park(node.reads, std::move(request));
}

// True when it was answered.
bool Operations::try_read(fuse_req_t req, SessionNode& node, std::size_t size) {
  Session& session = *node.session;
  if (runtime_.is_held(session.local())) return false;
  const Parts parts = session.readable(std::min(size, max_reply_bytes));
  const std::size_t count = parts[0].size() + parts[1].size();
  if (count == 0) {
    if (session.failure() != Failure::none) {
      fuse_reply_err(req, errno_of(session.failure()));
    } else if (session.read_ended()) {
      fuse_reply_buf(req, nullptr, 0);
    } else if (session.detached()) {
      fuse_reply_err(req, ESTALE);  // closed here: an end of file would say that all has been read
    } else {
      return false;
    }
    return true;
  }
  // Only what the kernel has taken is read: a reader killed meanwhile loses nothing.
  if (reply_stream_bytes(req, parts, session.recv_buffer().read(), runtime_.state_file(session))) {
    runtime_.host().consume(session, count, runtime_.now());
    runtime_.pump();
  }
  return true;
}

void Operations::write(fuse_req_t req, Inode inode, const char* data, std::size_t size, off_t offset,
                       fuse_file_info* fi) {
  OpenFile& file = OpenFile::of(fi);
  if (file.mode == OpenFile::Mode::command) return write_command(req, file, {data, size});
  if (file.mode == OpenFile::Mode::rules) {
    if (const int error = write_rules(file, {data, size}, offset); error != 0) {
      fuse_reply_err(req, error);
    } else {
      fuse_reply_write(req, size);
    }
    return;
  }
  if (kind_of(inode) != Kind::session) {
    fuse_reply_err(req, EINVAL);  // a service takes no data
    return;
  }
  SessionNode& node = *sessions_.find(serial_of(inode));
  Session& session = *node.session;
  std::size_t done = 0;
  const bool is_held = runtime_.is_held(session.local()) && session.failure() == Failure::none;
  if (node.writes.empty() && session.failure() == Failure::none && !is_held) {
    done = runtime_.host().write(session, bytes_of(data, size), runtime_.now());
    runtime_.store_changes();
    runtime_.pump();  // on its way before the writer runs again
  }
  Parked request;
  request.kind = Parked::Kind::write;
  request.req = req;
  request.done = done;
  request.size = size;
  request.session = &node;
  if (!is_held && (done == size || session.write_ended() || session.failure() != Failure::none)) {
    (void)try_write(request, node);
  } else if (nonblocking(fi->flags)) {
    if (done > 0) {
      fuse_reply_write(req, done);
    } else {
      fuse_reply_err(req, EAGAIN);
    }
  } else {
    const auto rest = bytes_of(data, size).subspan(done);
    request.data.assign(rest.begin(), rest.end());
    park(node.writes, std::move(request));
  }
  runtime_.pump();
}

// Hands the engine what is left of a write. True when it was answered.
bool Operations::try_write(Parked& parked, SessionNode& node) {
  Session& session = *node.session;
  if (runtime_.is_held(session.local()) && session.failure() == Failure::none) return false;
  if (parked.done < parked.size && session.failure() == Failure::none) {
    const auto rest =
        std::span<const std::byte>(parked.data).last(std::min(parked.size - parked.done, parked.data.size()));
    parked.done += runtime_.host().write(session, rest, runtime_.now());
    runtime_.store_changes();
  }
  if (parked.done == parked.size) {
    fuse_reply_write(parked.req, parked.size);
  } else if (session.failure() == Failure::none && !session.write_ended()) {
    return false;
  } else if (parked.done > 0) {
    fuse_reply_write(parked.req, parked.done);
  } else {
    fuse_reply_err(parked.req, session.failure() != Failure::none ? errno_of(session.failure()) : EPIPE);
  }
  return true;
}

void Operations::fsync(fuse_req_t req, Inode inode, int, fuse_file_info*) {
  SessionNode* node = kind_of(inode) == Kind::session ? sessions_.find(serial_of(inode)) : nullptr;
  if (node == nullptr || !node->session) {
    fuse_reply_err(req, 0);
    return;
  }
  const std::uint64_t written = node->session->send_buffer().written();
  if (try_sync(req, *node, written)) return;
  Parked request;
  request.kind = Parked::Kind::sync;
  request.req = req;
  request.offset = written;
  request.session = node;
  park(node->syncs, std::move(request));
  runtime_.host().request_checkpoint(*node->session, runtime_.now());
  runtime_.pump();
}

bool Operations::try_sync(fuse_req_t req, SessionNode& node, std::uint64_t offset) {
  const Session& session = *node.session;
  if (session.delivered(offset)) {
    fuse_reply_err(req, 0);
  } else if (session.failure() != Failure::none) {
    fuse_reply_err(req, errno_of(session.failure()));
  } else {
    return false;
  }
  return true;
}

}  // namespace sessionfs::fs
