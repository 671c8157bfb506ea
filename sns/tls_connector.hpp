// A TLS connection to the first of several servers that answers and can be trusted. The next is tried before the last
// has failed (RFC 8305, section 5), so that a silent address costs little of a call's time. DNS is asked for more once
// all that are known have been tried.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sns/dns.hpp"
#include "sns/transport.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

namespace asio = boost::asio;

inline constexpr std::chrono::milliseconds connect_stagger{250};
inline constexpr std::chrono::seconds connect_limit{5};  // for one address, handshake included
inline constexpr std::size_t max_addresses_tried = 32;   // for one connection
inline constexpr std::size_t max_attempts_at_once = 4;

using TlsStream = asio::ssl::stream<asio::ip::tcp::socket>;

/// Where a server is, and until when that may be used without looking for it again: as long as DNS has said. An address
/// that DNS was not asked for can always be used.
struct ServerPlace {
  asio::ip::tcp::endpoint address;
  std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
};

class TlsConnector : public std::enable_shared_from_this<TlsConnector> {
 public:
  /// On ok: the stream, and where it leads. Else unreachable or untrusted.
  using Done = std::function<void(Status, std::unique_ptr<TlsStream>, const ServerPlace&)>;

  /// `context` must outlive the stream. `first` is tried before those of `servers`, if it may still be used.
  TlsConnector(asio::io_context& io, std::shared_ptr<asio::ssl::context> context, const Servers& servers,
               const std::optional<ServerPlace>& first);

  /// `done` is called once, from the loop, unless cancel() comes before.
  void start(Done done);
  void cancel();

 private:
  using Endpoint = asio::ip::tcp::endpoint;
  struct Attempt {
    Attempt(asio::io_context& io, asio::ssl::context& context)
        : stream(std::make_unique<TlsStream>(io, context)), limit(io) {}
    std::unique_ptr<TlsStream> stream;
    asio::steady_timer limit;
    ServerPlace place;
  };
  using AttemptPtr = std::shared_ptr<Attempt>;

  void add(const ServerPlace& place);
  [[nodiscard]] Dns::Done found();
  bool ask_dns();
  void next();
  void start_attempt(const ServerPlace& place);
  void handle_connected(const AttemptPtr& attempt, boost::system::error_code error);
  void handle_handshake(const AttemptPtr& attempt, boost::system::error_code error);
  void fail(const AttemptPtr& attempt);
  void finish(Status status, std::unique_ptr<TlsStream> stream, const ServerPlace& place);

  asio::io_context& io_;
  std::shared_ptr<asio::ssl::context> context_;
  Servers servers_;
  Dns dns_;
  bool dns_asked_ = false;
  std::deque<ServerPlace> waiting_;
  std::vector<Endpoint> tried_;  // and waiting ones
  std::list<AttemptPtr> running_;
  std::size_t resolving_ = 0;
  asio::steady_timer stagger_;
  bool untrusted_ = false;
  Done done_;
};

}  // namespace sessionfs::sns
