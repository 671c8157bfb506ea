#include "fs/sessionctl/descriptor.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>

namespace sessionfs::ctl {

void hold_standard_descriptors() {
  // open(2) takes the lowest number that is free.
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(number, F_GETFD) < 0) (void)::open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

Unblocked::Unblocked(int file) : file_(file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return;
  const int flags = ::fcntl(file, F_GETFL);
  if (S_ISFIFO(status.st_mode) || ::isatty(file) == 1) {
    const std::string itself = "/proc/self/fd/" + std::to_string(file);
    own_.reset(::open(itself.c_str(), (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  }
  if (own_.get() >= 0 || S_ISREG(status.st_mode)) return;
  flags_before_ = flags;
  ::fcntl(file, F_SETFL, flags | O_NONBLOCK);
}

Unblocked::~Unblocked() {
  if (flags_before_ >= 0) ::fcntl(file_, F_SETFL, flags_before_);
}

}  // namespace sessionfs::ctl
