// A name server's listener: TLS 1.3 connections in, each request to the Responder, its reply back.
//
// What comes from a connection can cost that connection alone: it must finish its handshake and each frame that it has
// begun in time, one of another length than the protocol allows ends it, and so does the first request that cannot be
// parsed, after a reply that says so.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <unordered_set>

#include "sns/responder.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

namespace asio = boost::asio;

struct ServerLimits {
  std::size_t max_connections = 16384;
  std::size_t max_connections_per_address = 1024;  // for IPv6: of a /64
  std::chrono::milliseconds handshake = std::chrono::seconds(5);
  std::chrono::milliseconds frame = std::chrono::seconds(10);  // from its first byte to its last
  std::chrono::milliseconds write = std::chrono::seconds(10);  // a peer that does not read its replies
  std::chrono::milliseconds idle = std::chrono::minutes(5);    // without a request
};

/// Requests of one connection that are answered before another connection has its turn.
inline constexpr std::size_t max_requests_per_turn = 16;
inline constexpr std::chrono::milliseconds accept_retry{100};  // when the process has no more descriptors
/// A server's certificate is replaced at this age, long before it expires.
inline constexpr std::chrono::seconds server_certificate_age = server_lifetime / 3;

class Server {
 public:
  /// Listens at once. An IPv6 wildcard takes IPv4 connections too. Throws boost::system::system_error when it cannot
  /// listen. `responder` must outlive the server.
  Server(asio::io_context& io, Responder& responder, const asio::ip::tcp::endpoint& listen, ServerLimits limits = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] asio::ip::tcp::endpoint local_endpoint() const { return acceptor_.local_endpoint(); }
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }

 private:
  class Connection;
  void accept();
  void handle_accepted(asio::ip::tcp::socket socket);
  void closed(const std::shared_ptr<Connection>& connection);
  std::shared_ptr<asio::ssl::context> context();

  asio::io_context& io_;
  Responder& responder_;
  ServerLimits limits_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer accept_timer_;
  std::shared_ptr<asio::ssl::context> context_;
  UnixTime context_made_{};
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  std::map<asio::ip::address, std::size_t> per_address_;
  std::shared_ptr<int> self_;  // tells an accept that has just succeeded whether the server is still there
};

}  // namespace sessionfs::sns
