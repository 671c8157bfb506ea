#include "fs/sessionctl/signals.hpp"

#include <array>
#include <cstdlib>
#include <ctime>

namespace sessionfs::ctl {
namespace {

constexpr std::array<int, 4> ending_signals{SIGINT, SIGTERM, SIGHUP, SIGQUIT};
constexpr long ms_per_s = 1000;
constexpr long ns_per_ms = 1'000'000;

volatile std::sig_atomic_t times_asked = 0;
volatile std::sig_atomic_t last_asked = 0;

void note_ending(int number) {
  times_asked = times_asked + 1;
  last_asked = number;
}
void note_nothing(int) {}

sigset_t awaited() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : ending_signals) sigaddset(&set, number);
  for (const int number : {SIGCHLD, SIGWINCH}) sigaddset(&set, number);
  return set;
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  struct sigaction present {};
  ::sigaction(number, nullptr, &present);
  // What whoever has started us wants ignored (nohup) stays so.
  if (present.sa_handler != SIG_IGN || number == SIGCHLD) ::sigaction(number, &action, nullptr);
}

}  // namespace

Signals::Signals() {
  const sigset_t set = awaited();
  ::sigprocmask(SIG_BLOCK, &set, &before_);
  for (const int number : ending_signals) handle(number, note_ending);
  handle(SIGCHLD, note_nothing);
  ::signal(SIGPIPE, SIG_IGN);
}

Signals::~Signals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

void Signals::wait(std::span<pollfd> files, int limit_ms) {
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  for (const int number : ending_signals) sigdelset(&mask, number);
  for (const int number : {SIGCHLD, SIGWINCH}) sigdelset(&mask, number);
  const timespec limit{limit_ms / ms_per_s, (limit_ms % ms_per_s) * ns_per_ms};
  ::ppoll(files.data(), files.size(), limit_ms < 0 ? nullptr : &limit, &mask);
}

int Signals::asked_to_end() { return times_asked; }

void Signals::check() {
  if (times_asked > 0) throw Interrupted(last_asked);
}

void Signals::leave_to_parent() {
  times_asked = 0;
  for (const int number : {SIGINT, SIGHUP, SIGQUIT}) ::signal(number, SIG_IGN);
}

void Signals::end_by(int number) {
  ::signal(number, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(number);
  std::abort();  // it has come
}

Signals::Open::Open() {
  const sigset_t set = awaited();
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

Signals::Open::~Open() {
  const sigset_t set = awaited();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace sessionfs::ctl
