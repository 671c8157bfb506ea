// A disk that takes nothing more.
#pragma once

#include <sys/resource.h>

#include <csignal>
#include <stdexcept>

namespace sessionfs::sns {

/// As long as it lives, this process can write to no regular file (RLIMIT_FSIZE, setrlimit(2)).
class FullDisk {
 public:
  FullDisk() {
    std::signal(SIGXFSZ, SIG_IGN);  // so that write() says it
    if (::getrlimit(RLIMIT_FSIZE, &before_) != 0) throw std::runtime_error("getrlimit");
    rlimit none = before_;
    none.rlim_cur = 0;
    if (::setrlimit(RLIMIT_FSIZE, &none) != 0) throw std::runtime_error("setrlimit");
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
};

}  // namespace sessionfs::sns
