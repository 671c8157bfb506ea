#include "engine/session.hpp"

#include <algorithm>

namespace sessionfs {
namespace {

State state_of(const SessionImage& image, bool fresh) {
  if (image.closed) return State::closed;
  if (image.suspended) return State::suspended;
  if (fresh) return image.creator ? State::connecting : State::active;
  return State::ready_resume;
}

// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter.
std::uint64_t next_random(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Session::Session(const SessionImage& image, Memories memories, std::uint64_t seed, Time now)
    : fixed_{image.id, image.local, image.peer, image.service, image.file_name, image.creator},
      send_(std::move(memories.send), image.sent),
      recv_(std::move(memories.receive), image.received),
      state_(state_of(image, true)),
      failure_(image.failure),
      accepted_(image.accepted),
      detached_(image.detached),
      generation_(image.generation),
      peer_generation_(image.peer_generation),
      attempt_(image.attempt),
      peer_attempt_(image.peer_attempt),
      end_(image.end),
      end_acked_(image.end_acked),
      peer_end_(image.peer_end),
      peer_closed_(image.peer_closed),
      source_(image.source),
      loaded_(image.loaded),
      random_(seed),
      since_(now),
      store_due_(true) {
  if (state_ == State::connecting) {
    connect_deadline_ = now + connect_timeout;
    dial(now);
  }
}

std::shared_ptr<Session> Session::restore(const SessionImage& image, Memories memories, std::uint64_t seed, Time now) {
  auto session = std::make_shared<Session>(image, std::move(memories), seed, now);
  session->connect_deadline_.reset();
  session->actions_.clear();
  session->state_ = state_of(image, false);
  if (image.connecting) {
    // Whoever waited for it is gone, and the peer is told so when it asks.
    session->state_ = State::closed;
    session->failure_ = Failure::unreachable;
    session->detached_ = true;
  }
  if (session->detached_) session->recv_.consume(session->recv_.readable_bytes());  // nobody reads it any more
  if (session->state_ == State::ready_resume) session->dial(now);
  return session;
}

SessionImage Session::image() const {
  SessionImage image;
  image.id = fixed_.id;
  image.local = fixed_.local;
  image.peer = fixed_.peer;
  image.service = fixed_.service;
  image.file_name = fixed_.file_name;
  image.creator = fixed_.creator;
  image.connecting = state_ == State::connecting;
  image.accepted = accepted_;
  image.detached = detached_;
  image.suspended = state_ == State::suspended;
  image.closed = state_ == State::closed;
  image.failure = failure_;
  image.generation = generation_;
  image.peer_generation = peer_generation_;
  image.attempt = attempt_;
  image.peer_attempt = peer_attempt_;
  image.sent = send_.position();
  image.received = recv_.position();
  image.received.held = recv_.received();  // to store this image is to hold it
  image.end = end_;
  image.end_acked = end_acked_;
  image.peer_end = peer_end_;
  image.peer_closed = peer_closed_;
  image.source = source_;
  image.loaded = loaded_;
  return image;
}

bool Session::apply(Event event, Time now) {
  const Transition* row = find_transition(state_, event);
  if (row == nullptr) return false;
  const bool flowed = flows();
  const State before = std::exchange(state_, row->next);
  if (before != state_ && !(flowed && flows())) since_ = now;
  // On the way to another channel the old one may go first, which is no pause unless the way ends nowhere.
  if ((state_ == State::ready_resume || state_ == State::suspended) && std::exchange(pause_due_, false))
    pause_ = {.event = event, .silent = false, .at = now};
  last_transition_ = row->number;
  last_event_ = event;
  store_due_ = true;
  wake_due_ = true;
  const std::size_t place = transitioned_.size();  // before those to which its step leads
  transitioned_.push_back({.transition = *row});
  run(row->step, now);
  transitioned_[place] = {*row, send_.written(), send_.acked(), recv_.held(), recv_.read()};
  return true;
}

void Session::run(Step step, Time now) {
  switch (step) {
    case Step::none:
      return;
    case Step::dial:
      return dial(now);
    case Step::stay:
      return stay(now);
    case Step::let_channel:
      return drop_channel(false);
    case Step::send_connect:
      attempt_greeting_ = Greeting::connect;
      return;
    case Step::start_stream:
      connect_deadline_.reset();
      open_channel(attempt_conn_, now);
      go_on_with_channel();
      return rewind();
    case Step::refuse:
      drop_attempt();
      failure_ = input_failure_;
      return;
    case Step::send_resume:
      ++attempt_;
      attempt_deadline_ = now + (state_ == State::moving ? move_timeout : attempt_timeout);
      attempt_greeting_ = Greeting::resume;
      return;
    case Step::accept_resume:
      return accept(now);
    case Step::rewind:
      drop_channel(false);
      open_channel(attempt_conn_, now);
      go_on_with_channel();
      return rewind();
    case Step::redial:
      return redial(now);
    case Step::drop_both:
      ++failed_moves_;
      [[fallthrough]];
    case Step::retry_now:
      drop_channel(false);
      failed_attempts_ = 0;
      return dial(now);
    case Step::back_off:
      return back_off(now);
    case Step::wait_for_user:
      drop_attempt();
      drop_channel(false);
      return schedule_retry(now + jittered(last_retry_delay));
    case Step::wait_for_creator:
      drop_attempt();
      return schedule_retry(now + collision_wait);
    case Step::pause:
      drop_attempt();
      retry_at_.reset();
      return;
    case Step::send_suspend:
      drop_attempt();
      suspend_due_ = true;
      return end_channel(now);
    case Step::deny_suspended:
      return deny(ResumeDenial::suspended);
    case Step::deny_collision:
      return deny(ResumeDenial::collision);
    case Step::deny_closed:
      if (failure_ == Failure::superseded) return deny(ResumeDenial::not_here);
      return deny(failure_ == Failure::none ? ResumeDenial::closed : ResumeDenial::unknown);
    case Step::deny_gap:
      deny(ResumeDenial::gap);
      return lose(Failure::lost);
    case Step::end:
      drop_attempt();
      checkpoint_due_ = channel_ != 0;
      return end_channel(now);
    case Step::lose:
      return lose(Failure::lost);
    case Step::supersede:
      return lose(Failure::superseded);
    case Step::send_abort:
      drop_attempt();
      retry_at_.reset();
      connect_deadline_.reset();
      abort_due_ = channel_ != 0;
      failure_ = Failure::aborted_here;
      return end_channel(now);
  }
}

void Session::dial(Time now) {
  drop_attempt();
  retry_at_.reset();
  if (state_ != State::connecting) attempt_deadline_ = now + dial_timeout;
  attempt_began_ = now;
  network_change_at_.reset();
  actions_.push_back({.kind = SessionAction::Kind::dial, .conn = 0, .flush = false, .denial = {}});
}

void Session::redial(Time now) {
  ++failed_moves_;
  if (attempt_conn_ != 0) {
    // The one over the better link goes on, but that one alone may lead nowhere.
    network_change_at_ = std::max(now, attempt_began_ + young_attempt_limit_);
    return;
  }
  // Neither a peer that breaks what it has accepted nor a full disk here is asked again and again at once.
  if (now - channel_opened_ < short_channel_limit) return back_off(now);
  failed_attempts_ = 0;
  dial(now);
}

void Session::stay(Time now) {
  drop_attempt();
  ++failed_moves_;
  schedule_move(now);
  // What a RESUME that was refused has said the peer has not taken; and what has come meanwhile may have been the last.
  checkpoint_due_ = channel_ != 0;
  check_complete(now);
}

void Session::schedule_move(Time now) {
  const unsigned doublings = std::min(failed_moves_ - 1, 9U);
  move_at_ = now + jittered(std::min(first_move_delay * (1 << doublings), last_move_delay));
}

void Session::back_off(Time now) {
  const unsigned doublings = std::min(failed_attempts_++, 9U);
  drop_attempt();
  schedule_retry(now + jittered(std::min(first_retry_delay * (1 << doublings), last_retry_delay)));
}

void Session::drop_attempt() {
  attempt_deadline_.reset();
  std::erase_if(actions_, [](const SessionAction& a) { return a.kind == SessionAction::Kind::dial; });
  if (attempt_conn_ == 0) return;
  actions_.push_back({.kind = SessionAction::Kind::close, .conn = attempt_conn_, .flush = false, .denial = {}});
  attempt_conn_ = 0;
  attempt_greeting_ = Greeting::none;
}

void Session::drop_channel(bool flush) {
  if (channel_ == 0) return;
  actions_.push_back({.kind = SessionAction::Kind::close, .conn = channel_, .flush = flush, .denial = {}});
  channel_ = 0;
  channel_greeting_ = Greeting::none;
  checkpoint_due_ = end_due_ = ping_due_ = suspend_due_ = abort_due_ = channel_ending_ = false;
  announce_at_.reset();
  ending_deadline_.reset();
}

void Session::open_channel(ConnId conn, Time now) {
  channel_ = conn;
  channel_accepted_ = false;
  channel_generation_ = peer_generation_;
  attempt_conn_ = 0;
  attempt_greeting_ = channel_greeting_ = Greeting::none;
  checkpoint_due_ = suspend_due_ = abort_due_ = channel_ending_ = false;
  ping_due_ = ping_due_ && unacked();
  end_due_ = end_.has_value() && !end_acked_;
  retry_at_.reset();
  attempt_deadline_.reset();
  network_change_at_.reset();
  move_at_.reset();
  young_attempt_limit_ = young_attempt_limit;
  channel_opened_ = now;
  pause_due_ = true;
  heartbeat_at_ = now + heartbeat_interval;
  last_input_ = unacked_since_ = now;
  note_announcement(now);
}

void Session::accept(Time now) {
  if (channel_ != 0) ++failed_moves_;  // the peer has chosen another link: two that disagree do so ever less often
  drop_attempt();
  drop_channel(false);
  open_channel(input_conn_, now);
  channel_greeting_ = Greeting::resume_ok;
  channel_accepted_ = true;
  rewind();
}

void Session::rewind() {
  (void)send_.rewind(input_progress_->held, input_progress_->limit);
  // A new residence of the peer may know less of our end than the former one has confirmed.
  if (end_ && end_acked_ && !(input_progress_->has_finish && (!detached_ || input_progress_->has_close))) {
    end_acked_ = false;
    end_due_ = true;
  }
}

void Session::end_channel(Time now) {
  if (channel_ == 0) return;
  channel_ending_ = true;
  ending_deadline_ = now + attempt_timeout;
}

void Session::set_silence_limits(const SilenceLimits& limits) {
  silence_limits_ = limits;
  unacked_limit_ = limits.unacked;
}

void Session::schedule_retry(Time at) { retry_at_ = at; }

// Between half of `delay` and all of it, so that two sides that lost each other do not meet again and again.
Duration Session::jittered(Duration delay) {
  const auto half = delay.count() / 2;
  return Duration(half + static_cast<Duration::rep>(next_random(random_) % static_cast<std::uint64_t>(half + 1)));
}

void Session::lose(Failure failure) {
  drop_attempt();
  if (!channel_ending_) drop_channel(false);
  retry_at_.reset();
  failure_ = failure;
}

void Session::deny(ResumeDenial reason) {
  const ResumeDenied denial{reason, recv_.held(), end_.value_or(send_.written()), generation_};
  actions_.push_back({.kind = SessionAction::Kind::deny, .conn = input_conn_, .flush = true, .denial = denial});
}

void Session::depart() {
  state_ = State::closed;
  failure_ = Failure::superseded;
  attempt_conn_ = channel_ = 0;
  actions_.clear();
  recv_.consume(recv_.readable_bytes());
}

void Session::abort(Time now) { apply(Event::user_abort, now); }

std::optional<SessionAction> Session::poll_action() {
  if (actions_.empty()) return std::nullopt;
  const SessionAction action = actions_.front();
  actions_.pop_front();
  return action;
}

std::optional<Time> Session::next_timeout() const {
  std::optional<Time> next;
  const auto consider = [&next](const std::optional<Time>& at) {
    if (at && (!next || *at < *next)) next = at;
  };
  consider(connect_deadline_);
  consider(attempt_deadline_);
  consider(retry_at_);
  consider(network_change_at_);
  consider(ending_deadline_);
  if (flows()) {
    if (channel_greeting_ == Greeting::none) consider(move_at_);
    if (state_ == State::active) consider(announce_at_);
    consider(heartbeat_at_);
    consider(silence_deadline());
  }
  return next;
}

void Session::handle_timeout(Time now) {
  const auto due = [now](std::optional<Time>& at) {
    if (!at || *at > now) return false;
    at.reset();
    return true;
  };
  if (due(connect_deadline_)) {
    input_failure_ = Failure::timed_out;
    apply(Event::timeout, now);
  }
  if (due(attempt_deadline_)) apply(Event::timeout, now);
  if (due(network_change_at_)) handle_network_change(now);
  if (due(retry_at_)) apply(Event::retry_due, now);
  if (due(ending_deadline_)) drop_channel(false);
  if (!flows()) return;
  if (channel_greeting_ == Greeting::none && due(move_at_)) apply(Event::better_path, now);
  if (silence_deadline() <= now) {
    if (unacked()) unacked_limit_ = std::min(2 * unacked_limit_, silence_limits_.idle);
    drop_channel(false);
    apply(Event::channel_lost, now);
    if (state_ == State::ready_resume) pause_->silent = true;
    return;
  }
  if (state_ == State::active && due(announce_at_)) checkpoint_due_ = true;
  if (heartbeat_at_ <= now) {
    checkpoint_due_ = true;
    heartbeat_at_ = now + heartbeat_interval;
    if (send_.trimmable() || recv_.trimmable()) {
      send_.trim();
      recv_.trim();
      store_due_ = true;
    }
  }
}

}  // namespace sessionfs
