// `trace`: the transitions of sessions as they happen.
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "fs/operations.hpp"

namespace sessionfs::fs {
namespace {

bool flows(State state) { return state == State::active || state == State::moving; }

// What people may have noticed: bytes that flow no more, and flow again. The retries in between are many.
spdlog::level::level_enum level_of(const Transition& transition, Failure failure) {
  if (transition.next == State::closed) return failure == Failure::lost ? spdlog::level::warn : spdlog::level::debug;
  const bool was_there = transition.state != State::connecting;
  const bool changes = was_there && flows(transition.state) != flows(transition.next);
  return changes ? spdlog::level::info : spdlog::level::debug;
}

}  // namespace

void Operations::transitioned(const Session& session, const Transitioned& what) {
  const Transition& transition = what.transition;
  ++transition_counts_[transition.number];
  spdlog::log(level_of(transition, session.failure()), "{}: {}: {}: {} -> {}", session.local().str(),
              session.file_name(), transition_words(transition.number, transition.event), name_of(transition.state),
              name_of(transition.next));
  if (!trace_.has_readers()) return;
  trace_.add(trace_line(session, what, std::chrono::system_clock::now()));
  // Of several reads of one descriptor the first one gets the line.
  for (auto& parked : std::exchange(trace_reads_, {}))
    if (!try_trace(parked->req, *parked->file, parked->size)) trace_reads_.push_back(std::move(parked));
  notify_polls(trace_files_);
}

void Operations::read_trace(fuse_req_t req, OpenFile& file, std::size_t size, int flags) {
  if (try_trace(req, file, size)) return;
  if ((flags & O_NONBLOCK) != 0) {
    fuse_reply_err(req, EAGAIN);
    return;
  }
  Parked request;
  request.kind = Parked::Kind::read;
  request.req = req;
  request.file = &file;
  request.size = size;
  park(trace_reads_, std::move(request));
}

// True when the request was answered.
bool Operations::try_trace(fuse_req_t req, OpenFile& file, std::size_t size) {
  if (!trace_.has_more(file.lines)) return false;
  const auto lines = trace_.offer(file.lines, size);
  if (fuse_reply_buf(req, lines.data(), lines.size()) == 0) Trace::take(file.lines, lines.size());
  return true;
}

}  // namespace sessionfs::fs
