#include "sns/tls_connector.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "sns/join_token.hpp"

namespace sessionfs::sns {

using boost::system::error_code;

TlsConnector::TlsConnector(asio::io_context& io, std::shared_ptr<asio::ssl::context> context, const Servers& servers,
                           const std::optional<ServerPlace>& first)
    : io_(io), context_(std::move(context)), servers_(servers), dns_(io), stagger_(io) {
  if (first && std::chrono::steady_clock::now() < first->until) add(*first);
}

void TlsConnector::start(Done done) {
  done_ = std::move(done);
  for (const auto& text : servers_.known) {
    const auto server = parse_server(text);
    if (!server) continue;
    error_code error;
    const auto ip = asio::ip::make_address(server->host, error);
    if (!error) {
      add({{ip, server->port}});
      continue;
    }
    ++resolving_;
    dns_.find_host(server->host, server->port, found());
  }
  asio::post(io_, [self = shared_from_this()] { self->next(); });
}

Dns::Done TlsConnector::found() {
  return [weak = weak_from_this()](const Dns::Found& answer) {
    const auto self = weak.lock();
    if (!self || !self->done_) return;
    --self->resolving_;
    const auto until = std::chrono::steady_clock::now() + answer.lifetime;
    for (const auto& server : answer.servers) self->add({server, until});
    // Not from here: it may be the end of this, and of what has called.
    asio::post(self->io_, [self] { self->next(); });
  };
}

// False when there is nothing to ask, or no more.
bool TlsConnector::ask_dns() {
  if (servers_.dns_domain.empty() || std::exchange(dns_asked_, true)) return false;
  ++resolving_;
  dns_.find_name_servers(servers_.dns_domain, found());
  return true;
}

void TlsConnector::cancel() {
  done_ = nullptr;
  stagger_.cancel();
  for (const auto& attempt : running_) {
    error_code ignored;
    attempt->limit.cancel();
    if (attempt->stream) attempt->stream->next_layer().close(ignored);
  }
  running_.clear();
}

void TlsConnector::add(const ServerPlace& place) {
  if (tried_.size() >= max_addresses_tried || std::ranges::find(tried_, place.address) != tried_.end()) return;
  tried_.push_back(place.address);
  waiting_.push_back(place);
}

void TlsConnector::next() {
  if (!done_) return;
  if (waiting_.empty()) {
    if (ask_dns()) return;
    if (running_.empty() && resolving_ == 0) finish(untrusted_ ? Status::untrusted : Status::unreachable, nullptr, {});
    return;
  }
  if (running_.size() >= max_attempts_at_once) return;
  const ServerPlace place = waiting_.front();
  waiting_.pop_front();
  start_attempt(place);
  stagger_.expires_after(connect_stagger);
  stagger_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->next();
  });
}

void TlsConnector::start_attempt(const ServerPlace& place) {
  const auto attempt = std::make_shared<Attempt>(io_, *context_);
  attempt->place = place;
  running_.push_back(attempt);
  attempt->limit.expires_after(connect_limit);
  attempt->limit.async_wait([self = shared_from_this(), attempt](error_code error) {
    error_code ignored;
    if (!error && attempt->stream) attempt->stream->next_layer().close(ignored);
  });
  attempt->stream->next_layer().async_connect(place.address, [self = shared_from_this(), attempt](error_code error) {
    self->handle_connected(attempt, error);
  });
}

void TlsConnector::handle_connected(const AttemptPtr& attempt, error_code error) {
  if (!done_) return;
  if (error) return fail(attempt);
  attempt->stream->next_layer().set_option(asio::ip::tcp::no_delay(true), error);
  attempt->stream->next_layer().set_option(asio::socket_base::keep_alive(true), error);
  attempt->stream->async_handshake(TlsStream::client, [self = shared_from_this(), attempt](error_code failed) {
    self->handle_handshake(attempt, failed);
  });
}

void TlsConnector::handle_handshake(const AttemptPtr& attempt, error_code error) {
  if (!done_) return;
  if (error) {
    if (SSL_get_verify_result(attempt->stream->native_handle()) != X509_V_OK) untrusted_ = true;
    return fail(attempt);
  }
  attempt->limit.cancel();
  running_.remove(attempt);
  finish(Status::ok, std::move(attempt->stream), attempt->place);
}

void TlsConnector::fail(const AttemptPtr& attempt) {
  error_code ignored;
  attempt->limit.cancel();
  attempt->stream->next_layer().close(ignored);
  running_.remove(attempt);
  next();
}

void TlsConnector::finish(Status status, std::unique_ptr<TlsStream> stream, const ServerPlace& place) {
  auto done = std::exchange(done_, nullptr);
  cancel();
  done(status, std::move(stream), place);
}

}  // namespace sessionfs::sns
