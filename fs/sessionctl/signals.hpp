// SIGINT, SIGTERM, SIGHUP and SIGQUIT, which ask a program to end, SIGCHLD and SIGWINCH as something to wait for: they
// are blocked but where a program waits.
#pragma once

#include <poll.h>

#include <csignal>
#include <span>
#include <stdexcept>

namespace sessionfs::ctl {

/// A signal ends what this program does.
class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(int number) : std::runtime_error("interrupted"), number_(number) {}
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

/// One in a program, for all of its time; SIGPIPE is ignored.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// poll(2), which a signal ends, too. `limit_ms` below 0: no limit.
  static void wait(std::span<pollfd> files, int limit_ms = -1);
  /// How often somebody has asked this program to end.
  [[nodiscard]] static int asked_to_end();
  /// Throws Interrupted when somebody has.
  static void check();
  /// In a process that was forked: what came before was meant for its parent, and what a terminal sends to all of them
  /// is. SIGTERM alone is its own.
  static void leave_to_parent();
  /// Ends this program by a signal, so that whoever has started it sees that.
  [[noreturn]] static void end_by(int number);

  /// Signals come while one of these is there: a call that waits fails with EINTR.
  class Open {
   public:
    Open();
    ~Open();
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
  };

 private:
  sigset_t before_{};
};

}  // namespace sessionfs::ctl
