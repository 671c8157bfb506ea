#include "engine/host.hpp"

#include <algorithm>
#include <vector>

namespace sessionfs {

std::shared_ptr<Session> Host::connect(Endpoint& endpoint, const DialName& target, const SessionId& id,
                                       std::uint64_t seed, Time now) {
  if (endpoint.frozen || sessions_.size() >= max_sessions) return nullptr;
  auto memories = make_memories_(endpoint.name, id, true);
  if (!memories) return nullptr;
  SessionImage fresh;
  fresh.id = id;
  fresh.local = endpoint.name;
  fresh.peer = target.target.endpoint;
  fresh.service = target.target.service;
  fresh.file_name = target.str();
  fresh.creator = true;
  fresh.accepted = true;
  fresh.generation = endpoint.generation;
  auto session = std::make_shared<Session>(fresh, std::move(*memories), seed, now);
  add_session(endpoint, session, now);
  return session;
}

std::shared_ptr<Session> Host::restore(Endpoint& endpoint, const SessionImage& image, Session::Memories memories,
                                       std::uint64_t seed, Time now) {
  if (image.local != endpoint.name || find_session(image.id, image.local, image.creator)) return nullptr;
  if (!image.detached && endpoint.sessions.contains(image.file_name)) return nullptr;
  SessionImage current = image;
  current.enter(endpoint.generation);
  auto session = Session::restore(current, std::move(memories), seed, now);
  const bool waits = !session->accepted() && !session->detached();
  const auto service = endpoint.services.find(session->service());
  if (waits && service != endpoint.services.end()) service->second.backlog.push_back(session);
  add_session(endpoint, session, now);
  if (waits && service == endpoint.services.end()) close(*session, now);  // as when a service is removed
  return session;
}

void Host::add_session(Endpoint& endpoint, const std::shared_ptr<Session>& session, Time now) {
  session->set_silence_limits(silence_limits_);
  sessions_[{session->id(), session->local(), session->creator()}] = session;
  slots_[session.get()] = {.session = session, .serial = ++last_serial_, .timer = {}};
  ++sessions_of_[session->peer()];
  if (!session->detached()) endpoint.sessions[session->file_name()] = session;
  settle(*session, now);
}

std::shared_ptr<Session> Host::find_session(const SessionId& id, const EndpointName& local, bool creator) const {
  const auto found = sessions_.find({id, local, creator});
  return found == sessions_.end() ? nullptr : found->second;
}

std::size_t Host::write(Session& session, std::span<const std::byte> data, Time now) {
  const std::size_t taken = session.write(data, now);
  settle(session, now);
  return taken;
}

void Host::consume(Session& session, std::size_t count, Time now) {
  session.consume(count, now);
  settle(session, now);
}

void Host::request_checkpoint(Session& session, Time now) {
  session.request_checkpoint();
  settle(session, now);
}

void Host::finish(Session& session, Time now) {
  session.finish(now);
  settle(session, now);
}

void Host::close(Session& session, Time now) {
  const auto endpoint = endpoints_.find(session.local());
  if (endpoint != endpoints_.end()) {
    auto& entries = endpoint->second.sessions;
    const auto entry = entries.find(session.file_name());
    if (entry != entries.end() && entry->second.get() == &session) entries.erase(entry);
    if (const auto service = endpoint->second.services.find(session.service());
        !session.accepted() && service != endpoint->second.services.end())
      std::erase_if(service->second.backlog, [&](const auto& waiting) { return waiting.get() == &session; });
  }
  session.close(now);
  settle(session, now);
}

void Host::suspend(Session& session, Time now) {
  session.suspend(now);
  settle(session, now);
}

void Host::resume(Session& session, Time now) {
  session.resume(now);
  settle(session, now);
}

void Host::abort(Session& session, Time now) {
  session.abort(now);
  close(session, now);
}

void Host::handle_stored(Session& session, std::uint64_t offset, Time now) {
  session.handle_stored(offset, now);
  settle(session, now);
}

void Host::handle_network_change(Time now) { tell_of_change(nullptr, now); }

void Host::handle_moved(const EndpointName& peer, Time now) { tell_of_change(&peer, now); }

void Host::handle_path(Session& session, std::string_view better_link, Time now) {
  if (better_link.empty()) {
    session.handle_best_path();
  } else {
    session.handle_better_path(better_link, now);
  }
  settle(session, now);
}

std::shared_ptr<Session> Host::carried_by(ConnId conn) const {
  const auto found = connections_.find(conn);
  if (found == connections_.end() || !found->second.session || found->second.session->channel() != conn) return nullptr;
  return found->second.session;
}

// `peer`: null for the sessions with all peers.
void Host::tell_of_change(const EndpointName* peer, Time now) {
  std::vector<std::shared_ptr<Session>> told;
  for (const auto& [key, session] : sessions_)
    if (peer == nullptr || session->peer() == *peer) told.push_back(session);
  for (const auto& session : told) {
    session->handle_network_change(now);
    settle(*session, now);
  }
}

std::optional<Time> Host::next_timeout() const {
  std::optional<Time> next;
  if (!timers_.empty()) next = timers_.begin()->first.first;
  if (!silent_.empty()) next = std::min(next.value_or(Time::max()), silent_.begin()->first);
  return next;
}

void Host::handle_timeout(Time now) {
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Slot& slot = slots_.at(timers_.begin()->second);
    timers_.erase(timers_.begin());
    slot.timer.reset();
    const auto session = slot.session;
    session->handle_timeout(now);
    settle(*session, now);
  }
  while (!silent_.empty() && silent_.begin()->first <= now) drop_connection(silent_.begin()->second, false);
}

std::optional<Action> Host::poll_store() {
  if (stores_.empty()) return std::nullopt;
  Action action = std::move(stores_.front());
  stores_.pop_front();
  if (const auto slot = slots_.find(action.session.get()); slot != slots_.end()) slot->second.store_queued = false;
  return action;
}

std::optional<Action> Host::poll_action() {
  if (auto store = poll_store()) return store;
  if (actions_.empty()) return std::nullopt;
  Action action = std::move(actions_.front());
  actions_.pop_front();
  if (action.kind == Action::Kind::transmit) {
    if (const auto found = connections_.find(action.conn); found != connections_.end())
      found->second.transmit_queued = false;
  } else if (action.kind == Action::Kind::wake) {
    if (const auto slot = slots_.find(action.session.get()); slot != slots_.end()) slot->second.wake_queued = false;
  }
  return action;
}

// Turns what a session has to say into actions of the host.
void Host::settle(Session& session, Time) {
  const auto found = slots_.find(&session);
  if (found == slots_.end()) return;
  Slot& slot = found->second;
  for (const auto& transitioned : session.poll_transitions()) tell(slot.session, transitioned);
  while (const auto action = session.poll_action()) perform(session, *action);
  if (session.poll_store() && !std::exchange(slot.store_queued, true))
    stores_.push_back({.kind = Action::Kind::store, .session = slot.session, .endpoint = {}, .service = {}});
  if (session.poll_wake() && !std::exchange(slot.wake_queued, true))
    actions_.push_back({.kind = Action::Kind::wake, .session = slot.session, .endpoint = {}, .service = {}});
  for (const ConnId conn : {session.attempt_conn(), session.channel()})
    if (session.wants_transmit(conn)) queue_transmit(conn);
  update_timer(slot);
  if (session.state() == State::closed && !session.accepted() && session.failure() != Failure::none &&
      !session.detached())
    return close(session, {});  // nobody has seen it, nobody will miss it
  if (session.gone()) forget(session);
}

void Host::tell(const std::shared_ptr<Session>& session, const Transitioned& transitioned) {
  if (!tells_transitions_) return;
  actions_.push_back(
      {.kind = Action::Kind::tell, .session = session, .endpoint = {}, .service = {}, .transitioned = transitioned});
}

void Host::perform(Session& session, const SessionAction& action) {
  switch (action.kind) {
    case SessionAction::Kind::dial: {
      const ConnId conn = ++last_conn_;
      connections_[conn] = {.local = session.local(),
                            .peer = session.peer(),
                            .reader = {},
                            .session = slots_.at(&session).session,
                            .replies = {}};
      session.bind_attempt(conn);
      actions_.push_back({.kind = Action::Kind::dial,
                          .conn = conn,
                          .session = slots_.at(&session).session,
                          .endpoint = {},
                          .service = {}});
      return;
    }
    case SessionAction::Kind::deny:
      return reply(action.conn, action.denial);
    case SessionAction::Kind::close:
      return drop_connection(action.conn, action.flush);
  }
}

void Host::queue_transmit(ConnId conn) {
  const auto found = connections_.find(conn);
  if (found == connections_.end() || std::exchange(found->second.transmit_queued, true)) return;
  actions_.push_back({.kind = Action::Kind::transmit, .conn = conn, .session = {}, .endpoint = {}, .service = {}});
}

void Host::reply(ConnId conn, const Message& message) {
  const auto found = connections_.find(conn);
  if (found == connections_.end()) return;
  found->second.replies.emplace_back(message);
  found->second.answered = true;
  queue_transmit(conn);
}

void Host::drop_connection(ConnId conn, bool flush) {
  const auto found = connections_.find(conn);
  if (found == connections_.end()) return;
  silent_.erase({found->second.opened + first_message_timeout, conn});
  connections_.erase(found);
  actions_.push_back(
      {.kind = Action::Kind::close, .conn = conn, .flush = flush, .session = {}, .endpoint = {}, .service = {}});
}

// A timer that fires too early only asks again; so it is moved only when it would fire too late.
void Host::update_timer(Slot& slot) {
  const auto next = slot.session->next_timeout();
  if (!next || (slot.timer && *slot.timer <= *next)) return;
  if (slot.timer) timers_.erase({*slot.timer, slot.serial});
  slot.timer = *next;
  timers_[{*next, slot.serial}] = slot.session.get();
}

std::shared_ptr<Session> Host::take_out(Session& session) {
  const auto slot = slots_.find(&session);
  auto taken = slot->second.session;
  if (slot->second.timer) timers_.erase({*slot->second.timer, slot->second.serial});
  slots_.erase(slot);
  sessions_.erase({session.id(), session.local(), session.creator()});
  if (const auto peer = sessions_of_.find(session.peer()); --peer->second == 0) sessions_of_.erase(peer);
  return taken;
}

void Host::forget(Session& session) {
  const auto keep = take_out(session);
  const auto endpoint = endpoints_.find(session.local());
  if (endpoint != endpoints_.end() && session.failure() == Failure::none) {
    auto& tombstones = endpoint->second.tombstones;
    tombstones.push_back({session.id(), session.peer(), session.creator(), session.recv_buffer().held(),
                          session.send_buffer().written()});
    if (tombstones.size() > max_tombstones) tombstones.pop_front();
  }
  actions_.push_back({.kind = Action::Kind::forget, .session = keep, .endpoint = {}, .service = {}});
}

}  // namespace sessionfs
