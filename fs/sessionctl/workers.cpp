#include "fs/sessionctl/workers.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>

#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/tree.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr int pause_ms = 1000;

}  // namespace

bool Workers::start(const std::function<void()>& work) {
  const pid_t process = ::fork();
  if (process < 0) {
    std::fprintf(stderr, "sessionctl: %s: %s\n", "no process for a session", std::strerror(errno));
    Signals::wait({}, pause_ms);
    return false;
  }
  if (process > 0) {
    running_.insert(process);
    return true;
  }
  Signals::leave_to_parent();
  int status = 0;
  try {
    work();
  } catch (const Interrupted&) {
    status = 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sessionctl: %s\n", printable(error.what()).c_str());
    status = 1;
  }
  std::fflush(stderr);
  ::_exit(status);
}

void Workers::reap() {
  for (pid_t process = 0; (process = ::waitpid(-1, nullptr, WNOHANG)) > 0;) running_.erase(process);
}

Workers::~Workers() {
  const int before = Signals::asked_to_end();
  for (reap(); !running_.empty(); reap()) {
    if (Signals::asked_to_end() > before)
      for (const pid_t process : running_) ::kill(process, SIGTERM);
    Signals::wait({});
  }
}

}  // namespace sessionfs::ctl
