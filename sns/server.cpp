#include "sns/server.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "sns/tls.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {
namespace {

using boost::system::error_code;
using Tcp = asio::ip::tcp;

constexpr std::chrono::seconds shutdown_limit{1};

// Whose limit a connection counts for.
asio::ip::address origin(asio::ip::address address) {
  if (address.is_v4()) return address;
  if (address.to_v6().is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::address_v6(bytes);
}

}  // namespace

/// Lives as long as an operation is under way; after close() it does not touch the server.
class Server::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Server& server, Tcp::socket socket, asio::ip::address from, std::shared_ptr<asio::ssl::context> context)
      : server_(&server),
        from_(std::move(from)),
        context_(std::move(context)),
        stream_(std::move(socket), *context_),
        limit_(server.io_) {}

  [[nodiscard]] const asio::ip::address& from() const { return from_; }

  void start() {
    set_limit(server_->limits_.handshake, "did not finish its handshake in time");
    stream_.async_handshake(asio::ssl::stream_base::server, [self = shared_from_this()](error_code error) {
      if (self->server_ == nullptr) return;
      if (error) return self->end(error.message());
      self->handle_handshake();
    });
  }

  /// Without a word to the server.
  void close() {
    error_code ignored;
    server_ = nullptr;
    limit_.cancel();
    stream_.next_layer().close(ignored);
  }

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  void handle_handshake() {
    try {
      channel_.binding = channel_binding(stream_.native_handle());
    } catch (const std::exception& trouble) {
      return end(trouble.what());
    }
    read();
  }

  void read() {
    if (received_.empty()) {
      frame_deadline_.reset();
      set_limit(server_->limits_.idle, "was idle");
    } else {
      if (!frame_deadline_) frame_deadline_ = std::chrono::steady_clock::now() + server_->limits_.frame;
      set_limit(*frame_deadline_ - std::chrono::steady_clock::now(), "did not finish a request in time");
    }
    const auto used = received_.size();
    received_.resize(used + read_bytes);
    stream_.async_read_some(asio::buffer(received_.data() + used, read_bytes),
                            [self = shared_from_this(), used](error_code error, std::size_t count) {
                              self->received_.resize(used + count);
                              if (self->server_ == nullptr) return;
                              if (error) return self->end(error.message());
                              self->process();
                            });
  }

  // Answers what has come whole, up to a number; then sends the replies, then goes on.
  void process() {
    std::size_t consumed = 0;
    bool last = false;
    replies_.clear();
    for (std::size_t i = 0; i < max_requests_per_turn && !last; ++i) {
      const auto frame = split_frame(std::span(received_).subspan(consumed));
      if (frame.kind == FrameSplit::Kind::incomplete) break;
      frame_deadline_.reset();
      if (frame.kind == FrameSplit::Kind::violation) {
        Reply reply;
        reply.status = Status::bad_request;
        append_frame(replies_, encode(reply));
        last = true;
        break;
      }
      consumed += frame.consumed_bytes;
      const auto answer = server_->responder_.respond(channel_, frame.body, wall_time());
      append_frame(replies_, answer.reply);
      last = answer.close;
    }
    received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(consumed));
    if (received_.empty()) received_.shrink_to_fit();
    if (replies_.empty()) return read();
    write(last);
  }

  void write(bool last) {
    set_limit(server_->limits_.write, "did not read its replies");
    asio::async_write(stream_, asio::buffer(replies_),
                      [self = shared_from_this(), last](error_code error, std::size_t) {
                        if (self->server_ == nullptr) return;
                        if (error) return self->end(error.message());
                        if (last) return self->shut_down();
                        self->process();
                      });
  }

  // Closed at once, a socket that has unread bytes would take the last reply back.
  void shut_down() {
    set_limit(shutdown_limit, "sent what is no request");
    stream_.async_shutdown([self = shared_from_this()](error_code) {
      if (self->server_ != nullptr) self->end("sent what is no request");
    });
  }

  void set_limit(std::chrono::steady_clock::duration limit, const char* reason) {
    limit_.expires_after(limit);
    limit_.async_wait([self = shared_from_this(), reason](error_code error) {
      if (!error && self->server_ != nullptr) self->end(reason);
    });
  }

  void end(const std::string& reason) {
    spdlog::debug("connection from {} ends: {}", from_.to_string(), reason);
    Server* server = server_;
    close();
    server->closed(shared_from_this());
  }

  Server* server_;  // null: closed
  asio::ip::address from_;
  std::shared_ptr<asio::ssl::context> context_;
  asio::ssl::stream<Tcp::socket> stream_;
  asio::steady_timer limit_;
  Responder::Channel channel_;
  std::vector<std::byte> received_;
  std::vector<std::byte> replies_;
  std::optional<Deadline> frame_deadline_;
};

Server::Server(asio::io_context& io, Responder& responder, const Tcp::endpoint& listen, ServerLimits limits)
    : io_(io),
      responder_(responder),
      limits_(limits),
      acceptor_(io),
      accept_timer_(io),
      self_(std::make_shared<int>()) {
  acceptor_.open(listen.protocol());
  if (listen.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(!listen.address().is_unspecified()));
  acceptor_.set_option(Tcp::acceptor::reuse_address(true));
  acceptor_.bind(listen);
  acceptor_.listen();
  context();
  accept();
}

Server::~Server() {
  for (const auto& connection : connections_) connection->close();
}

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
  auto& count = per_address_[from];
  if (connections_.size() >= limits_.max_connections || count >= limits_.max_connections_per_address) {
    spdlog::debug("connection from {} refused: too many", from.to_string());
    if (count == 0) per_address_.erase(from);
    return;
  }
  socket.set_option(Tcp::no_delay(true), error);
  socket.set_option(asio::socket_base::keep_alive(true), error);
  try {
    const auto connection = std::make_shared<Connection>(*this, std::move(socket), from, context());
    connections_.insert(connection);
    ++count;
    connection->start();
  } catch (const std::exception& trouble) {
    spdlog::warn("cannot serve {}: {}", from.to_string(), trouble.what());
    if (count == 0) per_address_.erase(from);
  }
}

void Server::closed(const std::shared_ptr<Connection>& connection) {
  connections_.erase(connection);
  const auto count = per_address_.find(connection->from());
  if (count != per_address_.end() && --count->second == 0) per_address_.erase(count);
}

}  // namespace sessionfs::sns
