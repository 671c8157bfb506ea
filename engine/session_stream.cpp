// The bytes of a session: what applications write and read, what goes over the channel, and the checkpoints.
#include <algorithm>

#include "engine/session.hpp"

namespace sessionfs {
namespace {

// A checkpoint is announced when this part of the window is new, so that the sender never waits for the timer.
constexpr std::size_t announce_fraction = 4;

void put(Transmit& out, const Message& message) {
  const Frame frame(message);
  std::ranges::copy(frame.bytes(), out.head_bytes.begin());
  out.head_size = frame.bytes().size();
  out.body = {};
}

}  // namespace

Progress Session::progress() const {
  const bool all_held = peer_end_.has_value() && recv_.held() == *peer_end_;
  return {recv_.held(), recv_.limit(), all_held, peer_closed_};
}

std::size_t Session::write(std::span<const std::byte> data, Time now) {
  if (write_ended() || state_ == State::closed) return 0;
  const bool was_unacked = unacked();
  const std::size_t taken = send_.write(data);
  if (taken > 0) store_due_ = true;
  if (!was_unacked) unacked_since_ = now;
  return taken;
}

void Session::consume(std::size_t count, Time now) {
  if (count == 0) return;
  recv_.consume(count);
  store_due_ = true;
  note_announcement(now);
  if (read_ended()) wake_due_ = true;
}

void Session::request_checkpoint() { ping_due_ = ping_due_ || unacked() || send_.has_unsent(); }

void Session::finish(Time now) {
  if (end_) return;
  end_ = send_.written();
  end_due_ = true;
  unacked_since_ = now;
  store_due_ = true;
  wake_due_ = true;
}

void Session::close(Time now) {
  if (detached_) return;
  finish(now);
  detached_ = true;
  end_acked_ = false;  // the peer may know of the FINISH; it does not know of the CLOSE
  end_due_ = true;
  unacked_since_ = now;
  store_due_ = true;
  recv_.consume(recv_.readable_bytes());
  note_announcement(now);
  if (state_ == State::connecting) abort(now);
  if (state_ == State::suspended)
    resume(now);  // nobody is left who could, and what was written is still to be delivered
}

bool Session::take_progress(const Progress& peer, Time now) {
  const std::uint64_t before = send_.acked();
  if (!send_.acknowledge(peer.held, peer.limit)) return false;
  if (peer.has_finish && (!end_ || peer.held != *end_)) return false;
  if (peer.has_close && !detached_) return false;
  if (peer.has_finish && (!detached_ || peer.has_close)) {
    end_acked_ = true;
    end_due_ = false;
  }
  if (send_.acked() != before) {
    unacked_limit_ = std::clamp(2 * (now - unacked_since_), silence_limits_.unacked, silence_limits_.idle);
    store_due_ = true;
    failed_attempts_ = 0;
  }
  unacked_since_ = now;
  wake_due_ = true;
  check_complete(now);
  return true;
}

// It tells that the peer has taken our RESUME_OK, or what we have sent on the channel.
bool Session::take_checkpoint(const Progress& peer, Time now) {
  if (channel_accepted_ || peer.held > send_.acked()) settle();
  return take_progress(peer, now);
}

// The peer's source is this residence.
void Session::settle() {
  if (agreed()) return;
  loaded_.settled = true;
  store_due_ = true;
}

// The peer is content with what we hold, and what comes from now on is what its present residence writes.
void Session::go_on_with_channel() {
  if (source_ == channel_generation_) return;
  source_ = channel_generation_;
  store_due_ = true;
}

bool Session::handle_end(std::uint64_t offset, bool closes, Time now) {
  if (offset < recv_.received() || (peer_end_ && *peer_end_ != offset)) return false;
  peer_end_ = offset;
  store_due_ = true;
  wake_due_ = true;
  if (closes && !peer_closed_) {
    peer_closed_ = true;
    finish(now);  // nobody will read what comes after
  }
  note_announcement(now);
  check_complete(now);
  return true;
}

bool Session::handle_data(ConnId conn, const FrameReader::DataPart& part, Time now) {
  if (conn != channel_) return conn != attempt_conn_;
  if (!flows()) return true;
  last_input_ = now;
  go_on_with_channel();
  if (peer_end_ && part.offset + part.bytes.size() > *peer_end_) return false;
  if (recv_.accept(part.offset, part.bytes) != RecvBuffer::Taken::ok) return false;
  store_due_ = true;
  return true;
}

void Session::handle_stored(std::uint64_t offset, Time now) {
  const std::uint64_t before = recv_.held();
  recv_.hold(offset);
  if (recv_.held() == before) return;
  failed_attempts_ = 0;
  if (detached_) recv_.consume(recv_.readable_bytes());
  wake_due_ = true;
  note_announcement(now);
  check_complete(now);
}

void Session::note_announcement(Time now) {
  if (channel_ == 0) return;
  const Progress current = progress();
  const std::uint64_t quarter = recv_.capacity() / announce_fraction;
  if (current.held - announced_.held >= quarter || current.limit - announced_.limit >= quarter ||
      current.has_finish != announced_.has_finish || current.has_close != announced_.has_close) {
    checkpoint_due_ = true;
  } else if (current != announced_ && !announce_at_) {
    announce_at_ = now + checkpoint_delay;
  }
}

void Session::check_complete(Time now) {
  if (end_acked_ && peer_end_ && recv_.held() == *peer_end_) apply(Event::complete, now);
}

bool Session::unacked() const {
  return send_.sent() > send_.acked() || (end_ && !end_acked_ && send_.acked() == *end_);
}

Time Session::silence_deadline() const {
  return unacked() ? std::max(last_input_, unacked_since_) + unacked_limit_ : last_input_ + silence_limits_.idle;
}

bool Session::wants_transmit(ConnId conn) const {
  if (conn == 0) return false;
  if (conn == attempt_conn_) return attempt_greeting_ != Greeting::none;
  if (conn != channel_) return false;
  // What our RESUME on its way says to hold must not fall behind what the peer has been told: no checkpoint meanwhile.
  const bool tells = state_ != State::moving;
  if (tells && (channel_greeting_ != Greeting::none || channel_ending_ || checkpoint_due_)) return true;
  return flows() && (end_due_ || ping_due_ || send_.has_unsent());
}

bool Session::greeting(Greeting& due, Transmit& out) {
  switch (std::exchange(due, Greeting::none)) {
    case Greeting::none:
      return false;
    case Greeting::connect:
      put(out, Connect{protocol_version, fixed_.id, generation_, recv_.limit(), fixed_.service});
      break;
    case Greeting::connect_ok:
      put(out, ConnectOk{generation_, recv_.limit(), attempt_});
      break;
    case Greeting::resume:
      asked_generation_ = peer_generation_;
      put(out, Resume{protocol_version, fixed_.id, generation_, attempt_, fixed_.creator, progress(), source_});
      break;
    case Greeting::resume_ok:
      put(out, ResumeOk{generation_, attempt_, progress(), source_});
      break;
  }
  announced_ = progress();
  announce_at_.reset();
  checkpoint_due_ = false;
  return true;
}

bool Session::control(Transmit& out) {
  if (std::exchange(abort_due_, false)) {
    put(out, Abort{});
  } else if (std::exchange(suspend_due_, false)) {
    put(out, Suspend{});
  } else if (state_ != State::moving && std::exchange(checkpoint_due_, false)) {
    announced_ = progress();
    announce_at_.reset();
    put(out, Checkpoint{announced_});
    ++checkpoints_;
  } else if (std::exchange(end_due_, false)) {
    put(out, detached_ ? Message(Close{*end_}) : Message(Finish{*end_}));
  } else {
    return false;
  }
  return true;
}

bool Session::poll_transmit(ConnId conn, Transmit& out, Time now) {
  if (!wants_transmit(conn)) return false;
  heartbeat_at_ = now + heartbeat_interval;
  if (greeting(conn == channel_ ? channel_greeting_ : attempt_greeting_, out)) return true;
  if (conn != channel_) return false;
  if (control(out)) return true;
  if (channel_ending_) {
    drop_channel(true);
    return false;
  }
  if (const auto chunk = send_.poll_transmit(max_data_bytes); chunk.size() > 0) {
    if (send_.sent() - send_.acked() == chunk.size()) unacked_since_ = now;
    const auto header = data_header(chunk.offset, chunk.size());
    std::ranges::copy(header, out.head_bytes.begin());
    out.head_size = header.size();
    out.body = chunk.parts;
    return true;
  }
  if (std::exchange(ping_due_, false)) {
    put(out, Ping{});
    return true;
  }
  return false;
}

}  // namespace sessionfs
