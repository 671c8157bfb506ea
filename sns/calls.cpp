#include "sns/calls.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace sessionfs::sns {
namespace {

Reply ended(Status status) {
  Reply reply;
  reply.status = status;
  return reply;
}

}  // namespace

Calls::Calls(asio::io_context& io, std::unique_ptr<Transport> transport, std::chrono::milliseconds timeout)
    : io_(io), transport_(std::move(transport)), timeout_(timeout), idle_(io), watch_timer_(io) {}

void Calls::call(Request request, KeyPair signer, Done done) {
  if (closed_for_good_) return;
  if (waiting_.size() + sent_.size() >= max_calls_under_way) return refuse(Status::limit, std::move(done));
  const auto call = std::make_shared<Call>(io_, std::move(request), std::move(signer), std::move(done));
  arm(call, timeout_ / silence_share, &Calls::handle_silence);
  idle_.cancel();
  if (state_ == State::open) return send(call);
  waiting_.push_back(call);
  if (state_ == State::closed) open();
}

void Calls::refuse(Status status, Done done) {
  asio::post(io_, [weak = weak_from_this(), status, done = std::move(done)] {
    const auto self = weak.lock();
    if (self && !self->closed_for_good_) done(ended(status));
  });
}

void Calls::close() {
  closed_for_good_ = true;
  state_ = State::closed;
  transport_->close();
  idle_.cancel();
  watch_timer_.cancel();
  watches_.clear();
  // Callbacks may own what owns this.
  for (const auto& call : std::exchange(waiting_, {})) call->limit.cancel();
  for (const auto& [id, call] : std::exchange(sent_, {})) call->limit.cancel();
}

void Calls::reconnect() {
  if (closed_for_good_ || (state_ == State::closed && watches_.empty())) return;
  transport_->close();
  state_ = State::closed;
  for (auto& [id, call] : std::exchange(sent_, {})) waiting_.push_back(call);
  watch_delay_ = first_watch_delay;
  if (!waiting_.empty() || !watches_.empty()) open();
}

void Calls::open() {
  state_ = State::opening;
  has_answered_ = false;
  last_id_ = 0;
  watch_ids_.clear();
  refused_watches_.clear();
  refused_delay_ = first_watch_delay;
  watch_timer_.cancel();
  const auto with_self = [weak = weak_from_this()](auto member) {
    return [weak, member](auto&&... arguments) {
      if (const auto self = weak.lock(); self && !self->closed_for_good_) ((*self).*member)(arguments...);
    };
  };
  transport_->open(
      {with_self(&Calls::handle_opened), with_self(&Calls::handle_received), with_self(&Calls::handle_broken)});
}

void Calls::handle_opened(const Transport::Opened& opened) {
  if (opened.status != Status::ok) {
    state_ = State::closed;
    reach_for_watches();
    return finish_all(std::exchange(waiting_, {}), opened.status);
  }
  state_ = State::open;
  heard_ = std::chrono::steady_clock::now();
  binding_ = opened.binding;
  ca_ = opened.ca;
  for (const auto& call : std::exchange(waiting_, {})) send(call);
  for (const auto& [name, news] : watches_) send_watch(name);
  start_idle_timer();
}

void Calls::send(const CallPtr& call) {
  call->request.id = ++last_id_;
  auto body = encode(call->request);
  if (is_signed(call->request.operation)) {
    const auto signature = call->signer.sign(to_be_signed(binding_, body));
    body.insert(body.end(), signature.begin(), signature.end());
  }
  sent_.emplace(call->request.id, call);
  transport_->send(body);
}

void Calls::handle_received(std::span<const std::byte> body) {
  heard_ = std::chrono::steady_clock::now();
  const auto reply = decode_reply(body);
  // A server that says that it cannot make out even the id means the connection.
  const bool is_for_one = reply && reply->id != 0;
  if (is_for_one && handle_news(*reply)) return;
  const auto found = is_for_one ? sent_.find(reply->id) : sent_.end();
  if (is_for_one && found == sent_.end()) return;  // of a call that has timed out
  if (!is_for_one || (reply->status == Status::ok &&
                      reply->operation != static_cast<std::uint8_t>(found->second->request.operation))) {
    transport_->close();
    return handle_broken();
  }
  has_answered_ = true;
  const CallPtr call = found->second;
  sent_.erase(found);
  start_idle_timer();
  call->limit.cancel();
  call->done(*reply);
}

void Calls::handle_broken() {
  state_ = State::closed;
  std::list<CallPtr> failed;
  for (auto& [id, call] : std::exchange(sent_, {})) {
    // One that has worked before may have been closed for being idle, or by a restart. It is tried once more.
    auto& list = has_answered_ && !call->sent_before ? waiting_ : failed;
    call->sent_before = true;
    list.push_back(call);
  }
  if (!waiting_.empty() || (has_answered_ && !watches_.empty())) {
    open();
  } else {
    reach_for_watches();
  }
  finish_all(failed, Status::unreachable);
}

void Calls::arm(const CallPtr& call, std::chrono::milliseconds time, void (Calls::*then)(const CallPtr&)) {
  call->limit.expires_after(time);
  call->limit.async_wait([self = shared_from_this(), call, then](boost::system::error_code error) {
    if (!error) ((*self).*then)(call);
  });
}

void Calls::handle_silence(const CallPtr& call) {
  if (closed_for_good_) return;
  const auto patience = timeout_ / silence_share;
  arm(call, timeout_ - patience, &Calls::handle_timeout);
  const auto found = sent_.find(call->request.id);
  if (found == sent_.end() || found->second != call || call->sent_before || !has_answered_) return;
  if (std::chrono::steady_clock::now() - heard_ < patience) return;  // it is slow, and lives
  call->sent_before = true;
  reconnect();
}

void Calls::handle_timeout(const CallPtr& call) {
  if (closed_for_good_) return;
  waiting_.remove(call);
  // One that waits to be sent again has the id of an earlier connection.
  const auto found = sent_.find(call->request.id);
  if (found != sent_.end() && found->second == call) {
    sent_.erase(found);
    // The connection may be dead without a word; a new one tells.
    transport_->close();
    handle_broken();
  }
  if (!closed_for_good_) call->done(ended(Status::timed_out));
}

void Calls::finish_all(const std::list<CallPtr>& calls, Status status) {
  for (const auto& call : calls) {
    call->limit.cancel();
    if (!closed_for_good_) call->done(ended(status));
  }
}

// --- watches ------------------------------------------------------------------------------------------------------

void Calls::watch(const std::string& name, News news) {
  if (closed_for_good_) return;
  if (watches_.size() >= max_client_watches && !watches_.contains(name)) return refuse(Status::limit, std::move(news));
  watches_[name] = std::make_shared<const News>(std::move(news));
  idle_.cancel();
  if (state_ == State::open) return send_watch(name);
  if (state_ == State::closed) open();
}

void Calls::unwatch(const std::string& name) {
  if (watches_.erase(name) == 0) return;
  if (state_ != State::open) return;
  std::erase_if(watch_ids_, [&](const auto& entry) { return entry.second == name; });
  refused_watches_.erase(name);
  Request request;
  request.operation = Operation::unwatch;
  request.name = name;
  request.id = ++last_id_;  // nobody waits for its answer
  transport_->send(encode(request));
  start_idle_timer();
}

void Calls::send_watch(const std::string& name) {
  Request request;
  request.operation = Operation::watch;
  request.name = name;
  request.id = ++last_id_;
  watch_ids_[request.id] = name;
  refused_watches_.erase(name);
  transport_->send(encode(request));
}

bool Calls::handle_news(const Reply& reply) {
  const auto id = watch_ids_.find(reply.id);
  if (id == watch_ids_.end()) return false;
  has_answered_ = true;
  watch_delay_ = first_watch_delay;
  const std::string name = id->second;
  if (reply.status == Status::limit) {
    watch_ids_.erase(id);
    if (refused_watches_.empty()) start_watch_timer(refused_delay_);
    refused_watches_.insert(name);
  }
  // It may end its own watch.
  if (const auto watch = watches_.find(name); watch != watches_.end()) {
    const auto news = watch->second;
    (*news)(reply);
  }
  return true;
}

// Nobody waits for an answer, but somebody for news.
void Calls::reach_for_watches() {
  if (!watches_.empty() && !closed_for_good_) start_watch_timer(watch_delay_);
}

// Each time for twice as long.
void Calls::start_watch_timer(std::chrono::seconds& delay) {
  watch_timer_.expires_after(delay);
  delay = std::min(2 * delay, last_watch_delay);
  watch_timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->closed_for_good_) return;
    if (self->state_ == State::closed && !self->watches_.empty()) self->open();
    if (self->state_ != State::open) return;
    for (const auto& name : std::exchange(self->refused_watches_, {})) self->send_watch(name);
  });
}

void Calls::start_idle_timer() {
  if (!sent_.empty() || !waiting_.empty() || !watches_.empty()) return;
  idle_.expires_after(client_idle_limit);
  idle_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->closed_for_good_ || !self->sent_.empty() || !self->watches_.empty() ||
        self->state_ != State::open)
      return;
    self->transport_->close();
    self->state_ = State::closed;
  });
}

}  // namespace sessionfs::sns
