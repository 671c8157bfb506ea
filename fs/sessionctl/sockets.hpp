// Sockets of programs that know nothing of sessions: TCP, and Unix sockets by their path.
#pragma once

#include <poll.h>

#include <optional>
#include <string>
#include <vector>

#include "fs/sessionctl/descriptor.hpp"

namespace sessionfs::ctl {

/// Listens at a place: PORT (on the loopback addresses; 0: one that is free), ADDRESS:PORT, or a path with a slash,
/// where a socket that nobody listens at any more is replaced. Throws Error.
class Listeners {
 public:
  explicit Listeners(const std::string& place);
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  /// Where it listens: ADDRESS:PORT, or the path.
  [[nodiscard]] std::vector<std::string> places() const;
  /// For Signals::wait(), when a connection is wanted.
  [[nodiscard]] std::vector<pollfd> awaited() const;
  /// A connection that has come; nothing: none has.
  [[nodiscard]] std::optional<Descriptor> accept() const;
  /// In a process that was forked, and has nothing to do with it.
  void leave() { sockets_.clear(); }

 private:
  void listen_at_path(const std::string& path);
  void listen_at(const std::string& host, const std::string& port);

  std::vector<Descriptor> sockets_;
  std::string path_;  // of a Unix socket, to be removed at the end
};

/// Connects to HOST:PORT, or to a path with a slash. Throws Error, Interrupted.
Descriptor connect_to(const std::string& place);

/// Closes a connection when the other side has all that was written: while there is something to be read that nobody
/// wants, close(2) would throw that away. Throws Interrupted.
void close_when_delivered(Descriptor& socket);

/// The other side of a TCP connection learns that this is no end.
void reset(Descriptor& socket);

/// What is wrong with the name of a place to listen at, or to connect to; empty: nothing.
std::string fault_of_listening_place(const std::string& place);
std::string fault_of_target(const std::string& place);

}  // namespace sessionfs::ctl
