// What comes to a session from the network: its connections' ends, and the messages on them.
#include <algorithm>

#include "engine/session.hpp"

namespace sessionfs {

void Session::handle_dialled(ConnId conn, Time now) {
  if (conn == attempt_conn_) apply(Event::dialled, now);
}

void Session::handle_dial_failed(ConnId conn, DialFailure failure, Time now) {
  if (conn != attempt_conn_) return;
  attempt_conn_ = 0;
  attempt_greeting_ = Greeting::none;
  switch (failure) {
    case DialFailure::no_endpoint:
      input_failure_ = Failure::no_endpoint;
      break;
    case DialFailure::timed_out:
      input_failure_ = Failure::timed_out;
      break;
    case DialFailure::untrusted:
      input_failure_ = Failure::untrusted;
      break;
    case DialFailure::unreachable:
    case DialFailure::not_here:
      input_failure_ = Failure::unreachable;
      break;
  }
  apply(Event::dial_failed, now);
}

void Session::handle_closed(ConnId conn, Time now) {
  if (conn == channel_) {
    channel_ = 0;
    const bool ending = channel_ending_;
    channel_ending_ = checkpoint_due_ = suspend_due_ = abort_due_ = false;
    ending_deadline_.reset();
    wake_due_ = true;
    if (!ending) apply(Event::channel_lost, now);
  } else if (conn == attempt_conn_) {
    attempt_conn_ = 0;
    attempt_greeting_ = Greeting::none;
    apply(Event::attempt_lost, now);
  }
}

void Session::handle_network_change(Time now) {
  if (attempt_conn_ != 0 && now < attempt_began_ + young_attempt_limit_) {
    network_change_at_ = attempt_began_ + young_attempt_limit_;
    return;
  }
  if (attempt_conn_ != 0) young_attempt_limit_ = std::min(2 * young_attempt_limit_, longest_young_attempt_limit);
  apply(Event::network_change, now);
}

void Session::handle_better_path(std::string_view link, Time now) {
  if (link != better_link_) {
    better_link_ = link;
    failed_moves_ = 0;
    handle_best_path();
  }
  if (state_ != State::active || attempt_conn_ != 0 || move_at_) return;
  if (now - channel_opened_ > last_move_delay) failed_moves_ = 0;
  if (failed_moves_ > 0) {
    schedule_move(now);
  } else if (channel_greeting_ != Greeting::none) {
    move_at_ = now;  // when the channel has been answered
  } else {
    apply(Event::better_path, now);
  }
}

void Session::handle_best_path() {
  move_at_.reset();
  if (state_ == State::active) drop_attempt();
}

Event Session::event_of(const Resume& message) const {
  if (state_ == State::suspended || state_ == State::closed || state_ == State::connecting) return Event::peer_resume;
  if (!fits(message.progress, message.source)) return Event::peer_resume_gap;
  const bool ours_is_sent = state_ == State::sent_resume || state_ == State::moving;
  return ours_is_sent && fixed_.creator ? Event::peer_resume_crossed : Event::peer_resume;
}

// How far what our residence of generation `source` has sent is what we have written, too. What any but those that we
// come from has sent we do not know: only what was confirmed before.
std::uint64_t Session::common_with(std::uint64_t source) const {
  if (loaded_.marks.empty() || source == generation_) return send_.written();
  const auto mark = std::ranges::find(loaded_.marks, source, &SessionImage::Loaded::Mark::generation);
  return mark == loaded_.marks.end() ? loaded_.acked : mark->written;
}

// Whether the stream that we have is the one that the peer speaks of.
bool Session::fits(const Progress& peer, std::uint64_t source) const {
  if (peer.held < send_.acked() || peer.held > common_with(source)) return false;
  return (!peer.has_finish || end_ == peer.held) && (!peer.has_close || detached_);
}

// A new residence may have been loaded from a copy that knows of no end yet, and may write on. No application has seen
// an end that was not reached; that of a CLOSE has been told to ours, which writes no more, and is not taken back.
void Session::note_generation(std::uint64_t generation) {
  if (generation <= peer_generation_) return;
  if (peer_end_ && recv_.received() < *peer_end_) peer_end_.reset();
  peer_generation_ = generation;
  store_due_ = true;
}

bool Session::handle_connect(ConnId conn, const Connect& message, Time now) {
  // Who has sent, resumed or confirmed anything has had an answer to its CONNECT.
  if (message.generation < peer_generation_) return false;
  if (recv_.received() > 0 || send_.acked() > 0 || peer_attempt_ > 0 || peer_end_) return false;
  const Progress fresh{0, message.limit, false, false};
  Resume as_resume;
  as_resume.progress = fresh;
  as_resume.source = generation_;
  input_conn_ = conn;
  input_progress_ = &fresh;
  note_generation(message.generation);
  apply(event_of(as_resume), now);
  if (channel_ == conn) channel_greeting_ = Greeting::connect_ok;
  input_progress_ = nullptr;
  return true;
}

void Session::handle_resume(ConnId conn, const Resume& message, Time now) {
  input_conn_ = conn;
  if (message.source > generation_) return deny(ResumeDenial::not_here);  // it has gone on with a newer residence
  if (message.generation < peer_generation_) return deny(ResumeDenial::superseded);
  if (message.generation == peer_generation_ && message.attempt <= peer_attempt_) return deny(ResumeDenial::stale);
  note_generation(message.generation);
  peer_attempt_ = message.attempt;
  store_due_ = true;
  input_progress_ = &message.progress;
  apply(event_of(message), now);
  if (message.source == generation_) settle();
  if (channel_ == conn) (void)take_progress(message.progress, now);
  input_progress_ = nullptr;
}

Failure Session::failure_of(ConnectDenial reason) {
  switch (reason) {
    case ConnectDenial::access:
      return Failure::access;
    case ConnectDenial::backlog_full:
      return Failure::backlog_full;
    case ConnectDenial::not_here:
      return Failure::unreachable;
    case ConnectDenial::version:
      return Failure::version;
    case ConnectDenial::no_service:
      break;
  }
  return Failure::no_service;
}

bool Session::handle_resume_ok(const ResumeOk& message, Time now) {
  if (message.generation < peer_generation_) return false;
  // It has agreed to less than what has come since from a former residence, on the channel that we move from.
  if (message.generation > asked_generation_ && recv_.received() != announced_.held) {
    note_generation(message.generation);
    return false;
  }
  // Its RESUMEs that are still on their way speak of a stream that has gone on since.
  peer_attempt_ = message.generation > peer_generation_ ? message.attempt : std::max(peer_attempt_, message.attempt);
  note_generation(message.generation);
  if (!fits(message.progress, message.source)) {
    // The other side has accepted and does not know yet that the stream cannot go on.
    drop_channel(false);
    channel_ = std::exchange(attempt_conn_, 0);
    abort_due_ = true;
    end_channel(now);
    apply(Event::denied_lost, now);
    return true;
  }
  if (message.source == generation_) settle();
  input_progress_ = &message.progress;
  apply(Event::resume_ok, now);
  input_progress_ = nullptr;
  return take_progress(message.progress, now);
}

void Session::handle_resume_denied(const ResumeDenied& message, Time now) {
  // A former residence, or a copy, knows nothing of what has become of the session.
  const bool outdated = message.generation < peer_generation_;
  switch (message.reason) {
    case ResumeDenial::suspended:
      apply(Event::denied_suspended, now);
      return;
    case ResumeDenial::collision:
      apply(Event::denied_collision, now);
      return;
    case ResumeDenial::not_here:
    case ResumeDenial::stale:
    case ResumeDenial::version:
      apply(Event::denied_not_here, now);
      return;
    case ResumeDenial::superseded:
      apply(Event::denied_superseded, now);
      return;
    case ResumeDenial::unknown:
    case ResumeDenial::gap:
      apply(outdated ? Event::denied_not_here : Event::denied_lost, now);
      return;
    case ResumeDenial::closed:
      break;
  }
  if (outdated) {
    apply(Event::denied_not_here, now);
    return;
  }
  // An end that we have not set was that of another residence.
  const bool has_all = end_ == message.held && (agreed() || message.held <= loaded_.marks.back().written);
  if (!has_all || message.end != recv_.received()) {
    apply(Event::denied_lost, now);
    return;
  }
  end_acked_ = true;
  peer_end_ = message.end;
  apply(Event::denied_closed, now);
}

bool Session::handle_message(ConnId conn, const Message& message, Time now) {
  if (conn == attempt_conn_) {
    const bool waits_for_answer = state_ == State::sent_resume || state_ == State::moving;
    if (const auto* ok = std::get_if<ConnectOk>(&message); ok != nullptr && state_ == State::connecting) {
      if (ok->generation < peer_generation_) return false;
      const Progress fresh{0, ok->limit, false, false};
      peer_generation_ = ok->generation;
      peer_attempt_ = ok->attempt;  // its RESUMEs that are still on their way speak of a stream that had not begun
      input_progress_ = &fresh;
      apply(Event::connect_ok, now);
      input_progress_ = nullptr;
    } else if (const auto* no = std::get_if<ConnectDenied>(&message); no != nullptr && state_ == State::connecting) {
      input_failure_ = failure_of(no->reason);
      apply(Event::connect_denied, now);
    } else if (const auto* resumed = std::get_if<ResumeOk>(&message); resumed && waits_for_answer) {
      return handle_resume_ok(*resumed, now);
    } else if (const auto* denied = std::get_if<ResumeDenied>(&message); denied && waits_for_answer) {
      handle_resume_denied(*denied, now);
    } else {
      return false;
    }
    return true;
  }
  if (conn != channel_ || !flows()) return true;  // let go of already, or ending
  last_input_ = now;
  if (!std::holds_alternative<Abort>(message)) go_on_with_channel();
  if (const auto* checkpoint = std::get_if<Checkpoint>(&message)) return take_checkpoint(checkpoint->progress, now);
  if (const auto* finish = std::get_if<Finish>(&message)) return handle_end(finish->offset, false, now);
  if (const auto* close = std::get_if<Close>(&message)) return handle_end(close->offset, true, now);
  if (std::holds_alternative<Ping>(message)) {
    checkpoint_due_ = true;
  } else if (std::holds_alternative<Suspend>(message)) {
    apply(Event::peer_suspend, now);
  } else if (std::holds_alternative<Abort>(message)) {
    apply(Event::peer_abort, now);
  } else {
    return false;
  }
  return true;
}

}  // namespace sessionfs
