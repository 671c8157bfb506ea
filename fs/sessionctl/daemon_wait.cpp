#include "fs/sessionctl/daemon_wait.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {

bool has_daemon(const std::filesystem::path& mount) { return ::access((mount / "status").c_str(), F_OK) == 0; }

bool is_of_dead_mount(int number, const std::filesystem::path& mount) {
  return number == ENOTCONN || number == ECONNABORTED || number == ENODEV || !has_daemon(mount);
}

void wait_for_daemon(const std::filesystem::path& mount) {
  if (has_daemon(mount)) return;
  std::fprintf(stderr, "sessionctl: %s: the daemon has ended; waiting until it is there again\n",
               printable(mount.string()).c_str());
  while (!has_daemon(mount)) {
    Signals::check();
    Signals::wait({}, mount_poll_ms);
  }
}

}  // namespace sessionfs::ctl
