#include "sns/server_connection.hpp"

#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <span>
#include <utility>

#include "sns/tls.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {
namespace {

constexpr std::chrono::seconds shutdown_limit{1};
// Of a peer that says nothing because it waits for news: the kernel asks whether it is still there.
constexpr int keepalive_idle_s = 30;
constexpr int keepalive_interval_s = 10;
constexpr int keepalive_probes = 3;
// A TLS record's largest content (RFC 8446, 5.1).
constexpr std::size_t record_bytes = 16384;
// What a request that asks for a signature's check counts for within a turn.
constexpr std::size_t signed_request_cost = 8;
constexpr std::size_t kept_buffer_bytes = 4096;

void set_option(int socket, int level, int option, int value) {
  // Without it the connection works, too.
  (void)::setsockopt(socket, level, option, &value, sizeof(value));
}

}  // namespace

Server::Connection::Connection(Server& server, Source& source, int socket, std::shared_ptr<asio::ssl::context> context)
    : server_(&server),
      source_(source),
      context_(std::move(context)),
      socket_(socket),
      ssl_(SSL_new(context_->native_handle())) {
  if (!ssl_ || SSL_set_fd(ssl_.get(), socket_) != 1) throw_openssl("TLS");
  SSL_set_accept_state(ssl_.get());
  set_option(socket_, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket_, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket_, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_s);
  set_option(socket_, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_s);
  set_option(socket_, IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes);
}

void Server::Connection::start() {
  deadline_ = Clock::now() + server_->limits_.handshake;
  deadline_reason_ = "did not finish its handshake in time";
  wait_for(EPOLLIN);
}

void Server::Connection::close() {
  server_ = nullptr;
  channel_.reset();
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void Server::Connection::end(const std::string& reason) {
  spdlog::debug("connection from {} ends: {}", source_.address.to_string(), reason);
  Server* server = server_;
  close();
  server->closed(shared_from_this());
}

void Server::Connection::check(Clock::time_point now) {
  if (server_ != nullptr && deadline_ && *deadline_ <= now) end(deadline_reason_);
}

// --- turns --------------------------------------------------------------------------------------------------------

void Server::Connection::take_turn(Clock::time_point now) {
  if (server_ == nullptr) return;
  ERR_clear_error();
  if (stage_ == Stage::handshake) return shake_hands(now);
  if (stage_ == Stage::closing) return drain();
  serve(now);
}

void Server::Connection::shake_hands(Clock::time_point now) {
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return handle_trouble(result);
  try {
    channel_.emplace(server_->responder_, channel_binding(ssl_.get()), &source_.origin);
  } catch (const std::exception& trouble) {
    return end(trouble.what());
  }
  channel_->on_news = [this] {
    has_news_ = true;
    server_->ready(shared_from_this());
  };
  stage_ = Stage::serving;
  serve(now);
}

void Server::Connection::serve(Clock::time_point now) {
  if (!output_.empty() && !send(now)) return;
  if (!last_ && !answer_requests()) return end("its peer has ended it");
  bool changes = false;
  for (const auto& answer : answers_) changes = changes || answer.uncommitted;
  if (changes) return server_->await_commit(shared_from_this());
  finish(now);
}

bool Server::Connection::answer_requests() {
  std::size_t consumed = 0;
  bool more = true;
  for (std::size_t cost = 0; cost < max_requests_per_turn && !last_;) {
    const auto frame = split_frame(std::span(received_).subspan(consumed));
    if (frame.kind == FrameSplit::Kind::incomplete) {
      // What has come is looked at before the socket is asked for more.
      if (!more || !receive()) break;
      ++cost;
      more = SSL_has_pending(ssl_.get()) == 1;
      continue;
    }
    if (frame.kind == FrameSplit::Kind::violation) {
      Reply reply;
      reply.status = Status::bad_request;
      answers_.push_back({encode(reply), true, false, false});
      last_ = true;
      break;
    }
    consumed += frame.consumed_bytes;
    answers_.push_back(server_->responder_.respond(*channel_, frame.body, wall_time()));
    last_ = answers_.back().close;
    cost += answers_.back().costly ? signed_request_cost : 1;
  }
  received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(consumed));
  if (consumed > 0) deadline_reason_ = "";  // what is unfinished now has begun later
  if (received_.empty() && received_.capacity() > kept_buffer_bytes) received_.shrink_to_fit();
  return !ended_ || !answers_.empty();
}

bool Server::Connection::receive() {
  static thread_local std::array<std::byte, record_bytes> record;
  const int count = SSL_read(ssl_.get(), record.data(), record.size());
  starved_ = count <= 0;
  if (starved_) {
    ended_ = SSL_get_error(ssl_.get(), count) != SSL_ERROR_WANT_READ;
    return false;
  }
  received_.insert(received_.end(), record.begin(), record.begin() + count);
  return true;
}

void Server::Connection::add_news() {
  if (!std::exchange(has_news_, false) || !channel_) return;
  for (const auto& reply : server_->responder_.take_news(*channel_, max_requests_per_turn))
    append_frame(output_, reply);
}

void Server::Connection::committed(bool kept, Clock::time_point now) {
  if (server_ == nullptr) return;
  for (auto& answer : answers_)
    if (answer.uncommitted && !kept) Responder::to_failed(answer);
  ERR_clear_error();
  finish(now);
}

// Sends what the turn has brought, and says when the next one is.
void Server::Connection::finish(Clock::time_point now) {
  for (const auto& answer : answers_) append_frame(output_, answer.reply);
  answers_.clear();
  if (!last_) add_news();
  if (!output_.empty() && !send(now)) return;
  if (last_) return shut_down(now);
  if (ended_) return end("its peer has ended it");
  set_deadline(now);
  const bool whole = split_frame(received_).kind != FrameSplit::Kind::incomplete;
  // A part of a record is pending, too, and is nothing to go on with.
  if (whole || has_news_ || (!starved_ && SSL_has_pending(ssl_.get()) == 1)) return server_->ready(shared_from_this());
  wait_for(EPOLLIN);
}

bool Server::Connection::send(Clock::time_point now) {
  while (sent_bytes_ < output_.size()) {
    const auto rest = std::span(output_).subspan(sent_bytes_);
    const int count = SSL_write(ssl_.get(), rest.data(), static_cast<int>(rest.size()));
    if (count <= 0) {
      if (awaited_ != EPOLLOUT) {
        deadline_ = now + server_->limits_.write;
        deadline_reason_ = "did not read its replies";
      }
      handle_trouble(count);
      return false;
    }
    sent_bytes_ += static_cast<std::size_t>(count);
  }
  sent_bytes_ = 0;
  output_.clear();
  if (output_.capacity() > kept_buffer_bytes) output_.shrink_to_fit();
  return true;
}

// Closed at once, a socket that has unread bytes would take the last reply back.
void Server::Connection::shut_down(Clock::time_point now) {
  stage_ = Stage::closing;
  deadline_ = now + shutdown_limit;
  deadline_reason_ = "sent what is no request";
  (void)SSL_shutdown(ssl_.get());
  (void)::shutdown(socket_, SHUT_WR);
  drain();
}

void Server::Connection::drain() {
  std::array<char, kept_buffer_bytes> ignored{};
  ssize_t count = 0;
  std::size_t rounds = 0;
  do {
    count = ::recv(socket_, ignored.data(), ignored.size(), MSG_DONTWAIT);
  } while (count > 0 && ++rounds < max_requests_per_turn);
  if (count == 0 || (count < 0 && errno != EAGAIN)) return end(deadline_reason_);
  wait_for(EPOLLIN);
}

// --- the socket ---------------------------------------------------------------------------------------------------

void Server::Connection::wait_for(std::uint32_t event) {
  const std::uint32_t before = std::exchange(awaited_, event);
  if (before != event) server_->watch_socket(socket_, before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, event, this);
}

void Server::Connection::handle_trouble(int result) {
  const int saved = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return wait_for(EPOLLIN);
    case SSL_ERROR_WANT_WRITE:
      return wait_for(EPOLLOUT);
    case SSL_ERROR_SYSCALL:
      return end(std::strerror(saved));
    default:
      return end(openssl_error());
  }
}

void Server::Connection::set_deadline(Clock::time_point now) {
  if (received_.empty()) {
    deadline_ = now + server_->limits_.idle;
    deadline_reason_ = "was idle";
    if (channel_->watches()) deadline_.reset();
  } else if (deadline_reason_ != Server::unfinished) {
    deadline_ = now + server_->limits_.frame;
    deadline_reason_ = Server::unfinished;
  }
}

}  // namespace sessionfs::sns
