// Requests under way over one transport: each is sent, perhaps signed, and ends once, by a reply or in time without
// one. Watches are kept beside them: asked for on every new connection, and told of at each reply.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "sns/identity.hpp"
#include "sns/transport.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {

/// Calls that wait for an answer; more end with Status::limit.
inline constexpr std::size_t max_calls_under_way = 4096;
/// A connection without calls and watches is closed after this time, before the server does so.
inline constexpr std::chrono::seconds client_idle_limit{60};
/// Between attempts to reach the server for the watches alone: doubled from the first to the last.
inline constexpr std::chrono::seconds first_watch_delay{1};
inline constexpr std::chrono::seconds last_watch_delay{30};
/// A connection that has answered before, and on which nothing has come for this part of a call's time limit, is let
/// go of; the call is sent on a new one. It may have died without a word.
inline constexpr int silence_share = 3;
/// Watches at once; one more is told Status::limit.
inline constexpr std::size_t max_client_watches = 4096;

class Calls : public std::enable_shared_from_this<Calls> {
 public:
  using Done = std::function<void(const Reply&)>;

  Calls(asio::io_context& io, std::unique_ptr<Transport> transport, std::chrono::milliseconds timeout);

  /// `signer` signs where the operation wants it. `done` is called once, from the loop, unless close() comes before.
  /// The request's id is set here.
  void call(Request request, KeyPair signer, Done done);
  /// Ends a call before it is sent, as call() would.
  void refuse(Status status, Done done);
  using News = std::function<void(const Reply&)>;
  /// Calls `news` with each answer of the server about `name`, the first one soon, until unwatch(). After the
  /// connection was lost and made again it is told once more, whether something has changed or not. When the server
  /// has no room for it (Status::limit) it is asked again and again. Above max_client_watches that is all that is told,
  /// and the name is not watched.
  void watch(const std::string& name, News news);
  void unwatch(const std::string& name);

  /// Lets go of the connection; calls under way are sent on a new one.
  void reconnect();
  /// No callback is called any more.
  void close();

  /// The authority of the server that answered last; none before, and for a server in this process.
  [[nodiscard]] const Certificate& ca() const { return ca_; }

 private:
  struct Call {
    Call(asio::io_context& io, Request what, KeyPair by, Done then)
        : request(std::move(what)), signer(std::move(by)), done(std::move(then)), limit(io) {}
    Request request;
    KeyPair signer;
    Done done;
    asio::steady_timer limit;
    bool sent_before = false;
  };
  using CallPtr = std::shared_ptr<Call>;
  enum class State { closed, opening, open };

  void open();
  void send(const CallPtr& call);
  void handle_opened(const Transport::Opened& opened);
  void handle_received(std::span<const std::byte> body);
  void handle_broken();
  void arm(const CallPtr& call, std::chrono::milliseconds time, void (Calls::*then)(const CallPtr&));
  void handle_silence(const CallPtr& call);
  void handle_timeout(const CallPtr& call);
  void finish_all(const std::list<CallPtr>& calls, Status status);
  void start_idle_timer();
  void send_watch(const std::string& name);
  bool handle_news(const Reply& reply);
  void reach_for_watches();
  void start_watch_timer(std::chrono::seconds& delay);

  asio::io_context& io_;
  std::unique_ptr<Transport> transport_;
  std::chrono::milliseconds timeout_;
  State state_ = State::closed;
  bool closed_for_good_ = false;
  bool has_answered_ = false;                    // this connection
  std::chrono::steady_clock::time_point heard_;  // when something has come on it last
  std::uint64_t last_id_ = 0;
  ChannelBinding binding_{};
  Certificate ca_;
  std::list<CallPtr> waiting_;
  std::map<std::uint64_t, CallPtr> sent_;
  asio::steady_timer idle_;
  std::map<std::string, std::shared_ptr<const News>> watches_;  // by the watched name
  std::map<std::uint64_t, std::string> watch_ids_;              // of this connection
  asio::steady_timer watch_timer_;
  std::chrono::seconds watch_delay_ = first_watch_delay;
  std::set<std::string> refused_watches_;  // on this connection, for want of room
  std::chrono::seconds refused_delay_ = first_watch_delay;
};

}  // namespace sessionfs::sns
