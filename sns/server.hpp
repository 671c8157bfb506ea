// A name server's listener: TLS 1.3 connections in, each request to the Responder, its reply back.
//
// What comes from a connection can cost that connection alone: it must finish its handshake and each frame that it has
// begun in time, one of another length than the protocol allows ends it, and so does the first request that cannot be
// parsed, after a reply that says so.
//
// Work is done in turns, and the turns go round the addresses from which there is something to do: a flood from one,
// over however many connections, leaves the others their share. After each round what was changed is kept, by one write
// to the disk.
//
// The connections' sockets are in an epoll(7) of their own, of which the loop sees one descriptor: so an answer costs a
// read and a write, and little more.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <unordered_set>
#include <vector>

#include "sns/responder.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

namespace asio = boost::asio;

struct ServerLimits {
  std::size_t max_connections = 65536;
  std::size_t max_connections_per_address = 1024;  // for IPv6: of a /64
  std::chrono::milliseconds handshake = std::chrono::seconds(5);
  std::chrono::milliseconds frame = std::chrono::seconds(10);  // from its first byte to its last
  std::chrono::milliseconds write = std::chrono::seconds(10);  // a peer that does not read its replies
  std::chrono::milliseconds idle = std::chrono::minutes(5);    // without a request
};

/// Requests of one connection that are answered in one turn. A TLS record that brings (a part of) them counts as one
/// more, and one that asks for a signature's check for several.
inline constexpr std::size_t max_requests_per_turn = 16;
/// Turns in one round.
inline constexpr std::size_t max_turns_per_round = 64;
/// Sockets that the loop is told of at once.
inline constexpr std::size_t max_ready_sockets = 256;
inline constexpr std::chrono::milliseconds accept_retry{100};  // when the process has no more descriptors
/// Deadlines are looked at, and the responder's tick is called, at this distance.
inline constexpr std::chrono::milliseconds server_tick{100};
/// A server's certificate is replaced at this age, long before it expires.
inline constexpr std::chrono::seconds server_certificate_age = server_lifetime / 3;

class Server {
 public:
  /// Listens at once. An IPv6 wildcard takes IPv4 connections too. Throws boost::system::system_error when it cannot
  /// listen. `responder` must outlive the server. SIGPIPE must be ignored.
  Server(asio::io_context& io, Responder& responder, const asio::ip::tcp::endpoint& listen, ServerLimits limits = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] asio::ip::tcp::endpoint local_endpoint() const { return acceptor_.local_endpoint(); }
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }

 private:
  class Connection;
  using ConnectionPtr = std::shared_ptr<Connection>;
  // Where connections come from, and those of them that wait for their turn.
  struct Source {
    asio::ip::address address;
    std::size_t connections = 0;
    std::deque<ConnectionPtr> ready;
    Responder::Origin origin;
  };
  static constexpr const char* unfinished = "did not finish a request in time";

  void accept();
  void handle_accepted(asio::ip::tcp::socket socket);
  void admit(Source& source, int socket);
  void wait_for_sockets();
  std::shared_ptr<asio::ssl::context> context();
  void start_tick();

  // For its connections.
  void ready(const ConnectionPtr& connection);
  void await_commit(const ConnectionPtr& connection) { uncommitted_.push_back(connection); }
  void closed(const ConnectionPtr& connection);
  void watch_socket(int socket, int operation, std::uint32_t events, Connection* connection);

  void run_round();
  void post_round();
  void forget_if_unused(Source& source);

  asio::io_context& io_;
  Responder& responder_;
  ServerLimits limits_;
  asio::ip::tcp::acceptor acceptor_;
  asio::posix::stream_descriptor sockets_;  // an epoll
  asio::steady_timer accept_timer_;
  asio::steady_timer tick_timer_;
  std::chrono::steady_clock::time_point started_;
  std::shared_ptr<asio::ssl::context> context_;
  UnixTime context_made_{};
  std::unordered_set<ConnectionPtr> connections_;
  std::map<asio::ip::address, Source> sources_;
  std::deque<Source*> turns_;  // each source that has a ready connection, once
  std::vector<ConnectionPtr> uncommitted_;
  bool round_posted_ = false;
  std::shared_ptr<int> self_;  // tells what has just become due whether the server is still there
};

}  // namespace sessionfs::sns
