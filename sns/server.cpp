#include "sns/server.hpp"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "sns/server_connection.hpp"
#include "sns/tls.hpp"

namespace sessionfs::sns {
namespace {

using boost::system::error_code;
using Tcp = asio::ip::tcp;

// Whose limit a connection counts for.
asio::ip::address origin(asio::ip::address address) {
  if (address.is_v4()) return address;
  if (address.to_v6().is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::address_v6(bytes);
}

int make_epoll() {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) throw boost::system::system_error(errno, boost::system::system_category(), "epoll_create1");
  return epoll;
}

}  // namespace

Server::Server(asio::io_context& io, Responder& responder, const Tcp::endpoint& listen, ServerLimits limits)
    : io_(io),
      responder_(responder),
      limits_(limits),
      acceptor_(io),
      sockets_(io, make_epoll()),
      accept_timer_(io),
      tick_timer_(io),
      started_(std::chrono::steady_clock::now()),
      self_(std::make_shared<int>()) {
  acceptor_.open(listen.protocol());
  if (listen.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(!listen.address().is_unspecified()));
  acceptor_.set_option(Tcp::acceptor::reuse_address(true));
  acceptor_.bind(listen);
  acceptor_.listen();
  context();
  accept();
  wait_for_sockets();
  start_tick();
}

Server::~Server() {
  for (const auto& connection : connections_) connection->close();
}

void Server::start_tick() {
  tick_timer_.expires_after(server_tick);
  tick_timer_.async_wait([self = std::weak_ptr(self_), this](error_code error) {
    if (error || self.expired()) return;
    const auto now = std::chrono::steady_clock::now();
    const auto all = std::vector<ConnectionPtr>(connections_.begin(), connections_.end());
    for (const auto& connection : all) connection->check(now);
    responder_.tick(std::chrono::duration_cast<std::chrono::seconds>(now - started_), wall_time());
    start_tick();
  });
}

// --- turns --------------------------------------------------------------------------------------------------------

void Server::watch_socket(int socket, int operation, std::uint32_t events, Connection* connection) {
  epoll_event event{events, {.ptr = connection}};
  if (::epoll_ctl(sockets_.native_handle(), operation, socket, &event) != 0)
    throw boost::system::system_error(errno, boost::system::system_category(), "epoll_ctl");
}

void Server::wait_for_sockets() {
  sockets_.async_wait(asio::posix::stream_descriptor::wait_read, [self = std::weak_ptr(self_), this](error_code error) {
    if (error || self.expired()) return;
    std::array<epoll_event, max_ready_sockets> events{};
    const int count = ::epoll_wait(sockets_.native_handle(), events.data(), events.size(), 0);
    for (int i = 0; i < count; ++i)
      ready(static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr)->shared_from_this());
    run_round();
    wait_for_sockets();
  });
}

void Server::ready(const ConnectionPtr& connection) {
  if (std::exchange(connection->queued, true)) return;
  Source& source = connection->source();
  source.ready.push_back(connection);
  if (source.ready.size() == 1) turns_.push_back(&source);
  post_round();
}

void Server::post_round() {
  if (std::exchange(round_posted_, true)) return;
  asio::post(io_, [self = std::weak_ptr(self_), this] {
    if (self.expired()) return;
    round_posted_ = false;
    run_round();
  });
}

void Server::run_round() {
  const auto now = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < max_turns_per_round && !turns_.empty(); ++i) {
    Source& source = *turns_.front();
    turns_.pop_front();
    const ConnectionPtr connection = std::move(source.ready.front());
    source.ready.pop_front();
    if (!source.ready.empty()) turns_.push_back(&source);
    connection->queued = false;
    ++source.connections;  // so that it is still there when this was its last one
    connection->take_turn(now);
    --source.connections;
    forget_if_unused(source);
  }
  const bool kept = responder_.commit();
  for (const auto& connection : std::exchange(uncommitted_, {})) connection->committed(kept, now);
  if (!turns_.empty()) post_round();
}

// --- connections --------------------------------------------------------------------------------------------------

std::shared_ptr<asio::ssl::context> Server::context() {
  const UnixTime now = wall_time();
  // A clock that was set back makes it too old as well: what it was made with may lie in the future now.
  if (!context_ || now - context_made_ > server_certificate_age || now < context_made_) {
    context_ = std::make_shared<asio::ssl::context>(make_server_context(responder_.authority(), now));
    context_made_ = now;
  }
  return context_;
}

void Server::accept() {
  acceptor_.async_accept([self = std::weak_ptr(self_), this](error_code error, Tcp::socket socket) {
    if (self.expired() || error == asio::error::operation_aborted) return;
    if (!error) {
      handle_accepted(std::move(socket));
      return accept();
    }
    spdlog::warn("cannot accept a connection: {}", error.message());
    accept_timer_.expires_after(accept_retry);
    accept_timer_.async_wait([self, this](error_code cancelled) {
      if (!cancelled && !self.expired()) accept();
    });
  });
}

void Server::handle_accepted(Tcp::socket socket) {
  error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) return;
  const auto from = origin(peer.address());
  Source& source = sources_.try_emplace(from, Source{from, 0, {}, {}}).first->second;
  if (connections_.size() >= limits_.max_connections || source.connections >= limits_.max_connections_per_address) {
    spdlog::debug("connection from {} refused: too many", from.to_string());
    return forget_if_unused(source);
  }
  // It is taken out of the loop: from here on the epoll tells of it.
  socket.native_non_blocking(true, error);
  const int handle = socket.release(error);
  if (error) return forget_if_unused(source);
  admit(source, handle);
}

void Server::admit(Source& source, int socket) {
  ConnectionPtr connection;
  try {
    connection = std::make_shared<Connection>(*this, source, socket, context());
  } catch (const std::exception& trouble) {
    spdlog::warn("cannot serve {}: {}", source.address.to_string(), trouble.what());
    ::close(socket);
    return forget_if_unused(source);
  }
  connections_.insert(connection);
  ++source.connections;
  connection->start();
}

void Server::closed(const ConnectionPtr& connection) {
  connections_.erase(connection);
  Source& source = connection->source();
  --source.connections;
  forget_if_unused(source);
}

void Server::forget_if_unused(Source& source) {
  if (source.connections == 0 && source.ready.empty()) sources_.erase(asio::ip::address(source.address));
}

}  // namespace sessionfs::sns
