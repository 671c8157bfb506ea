// One connection of a name server: TLS directly on its socket, frames in, replies and news out.
//
// It never waits but for its socket. Whatever there is to do for it, be it a step of the handshake, is done in its
// turn, which the server gives it.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sns/openssl.hpp"
#include "sns/server.hpp"

namespace sessionfs::sns {

/// After close() it does not touch the server.
class Server::Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  /// `socket` becomes the connection's. Throws std::runtime_error.
  Connection(Server& server, Source& source, int socket, std::shared_ptr<asio::ssl::context> context);
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] Source& source() { return source_; }

  void start();
  /// Does what there is to do, up to a limit. Ends by a wait for the socket, by asking for another turn, by waiting for
  /// the server's commit, or by the end of the connection.
  void take_turn(Clock::time_point now);
  /// What it has changed is kept, or not.
  void committed(bool kept, Clock::time_point now);
  /// Ends it when it has let a deadline pass.
  void check(Clock::time_point now);
  /// Without a word to the server.
  void close();

  bool queued = false;  // for a turn: the server's

 private:
  enum class Stage : std::uint8_t { handshake, serving, closing };

  void shake_hands(Clock::time_point now);
  void serve(Clock::time_point now);
  /// Answers what has come whole; false when the peer has ended the connection.
  bool answer_requests();
  /// Takes in what has come. False when nothing has.
  bool receive();
  void add_news();
  void finish(Clock::time_point now);
  /// False when it has to wait, or has ended.
  bool send(Clock::time_point now);
  void shut_down(Clock::time_point now);
  void drain();
  /// EPOLLIN or EPOLLOUT: what gives it its next turn.
  void wait_for(std::uint32_t event);
  /// For a call of OpenSSL that has not succeeded: waits for the socket, or ends the connection.
  void handle_trouble(int result);
  void set_deadline(Clock::time_point now);
  void end(const std::string& reason);

  Server* server_;  // null: closed
  Source& source_;
  std::shared_ptr<asio::ssl::context> context_;
  int socket_;
  std::uint32_t awaited_ = 0;  // as the server's epoll has it
  SslPtr ssl_;
  std::optional<Responder::Channel> channel_;
  std::vector<std::byte> received_;
  std::vector<std::byte> output_;
  std::size_t sent_bytes_ = 0;              // of the output
  std::vector<Responder::Answer> answers_;  // of this turn
  Stage stage_ = Stage::handshake;
  bool last_ = false;     // what it has sent is no request: the reply is the last
  bool ended_ = false;    // by the peer
  bool starved_ = false;  // TLS holds no whole record
  bool has_news_ = false;
  std::optional<Clock::time_point> deadline_;
  const char* deadline_reason_ = "";
};

}  // namespace sessionfs::sns
