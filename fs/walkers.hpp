// Programs that copy an endpoint's folder: cp -r, mv, tar, rsync.
//
// None of them says what it is about to do. It is seen from what they ask for: who opens the record without following
// links walks a tree, and who then begins to remove what it has copied is mv(1). Between the two nothing of the
// endpoint may change, or the record that was copied would be older than the residence that ends: it is held.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace sessionfs::fs {

/// A walker that has read a record and neither ends nor begins to remove is not waited for longer than this.
inline constexpr std::chrono::milliseconds walker_patience{2000};
/// One whose removals are refused is an ordinary program again after this.
inline constexpr std::chrono::seconds late_walker_memory{60};
/// More walkers at a time are not looked after: their copies are as good as any.
inline constexpr std::size_t max_walkers = 256;

class Walkers {
 public:
  /// By the serial number of an endpoint.
  struct Hooks {
    std::function<bool(std::uint64_t)> may_move;     // false: it stays, and what is copied may be older than it
    std::function<void(std::uint64_t)> hold;         // nothing of it may change ...
    std::function<void(std::uint64_t)> release;      // ... until now
    std::function<bool(std::uint64_t)> begin_move;   // false: it is on its way already
    std::function<void(std::uint64_t)> cancel_move;  // its mover has ended, and has left something
  };

  Walkers(boost::asio::io_context& io, Hooks hooks) : io_(io), hooks_(std::move(hooks)) {}

  /// `pid` has opened the record of `endpoint`, or goes on reading it.
  void reads_record(pid_t pid, std::uint64_t endpoint);

  enum class Removal : std::uint8_t {
    ordinary,  // it has copied nothing
    moves,     // what it removes, it has copied
    refused,   // it has, but the endpoint has gone on since, or stays
  };
  /// `pid` is about to remove something of `endpoint`.
  Removal removes(pid_t pid, std::uint64_t endpoint);
  /// Something of it changes: who has copied it and has not begun to remove it is too late.
  void changes(std::uint64_t endpoint);
  [[nodiscard]] bool knows(pid_t pid) const { return walkers_.contains(pid); }
  /// Whether somebody moves it just now.
  [[nodiscard]] bool moving(std::uint64_t endpoint) const;
  /// It is gone from here.
  void forget(std::uint64_t endpoint);

 private:
  struct Walker {
    explicit Walker(boost::asio::io_context& io) : process(io), patience(io) {}
    boost::asio::posix::stream_descriptor process;
    boost::asio::steady_timer patience;
    std::uint64_t endpoint = 0;
    enum class Phase : std::uint8_t { copies, moves, late } phase = Phase::copies;
  };

  void wait(pid_t pid, const std::shared_ptr<Walker>& walker, std::chrono::milliseconds how_long);
  void lost_patience(pid_t pid, const std::shared_ptr<Walker>& walker);
  void watch(pid_t pid, const std::shared_ptr<Walker>& walker);
  void ended(pid_t pid);
  void let_go(Walker& walker);

  boost::asio::io_context& io_;
  Hooks hooks_;
  std::map<pid_t, std::shared_ptr<Walker>> walkers_;
};

}  // namespace sessionfs::fs
