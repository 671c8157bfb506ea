// Work in a process of its own: a daemon that does not answer holds nobody up.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "fs/sessionctl/descriptor.hpp"

namespace sessionfs::ctl {

class Aside {
 public:
  /// Begins `work`. Throws Error.
  explicit Aside(const std::function<std::string()>& work);
  /// Ends it.
  ~Aside();
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

  struct Answer {
    bool is_done;      // else it has thrown
    std::string text;  // what the work has returned, or what it has thrown
  };
  /// Can be read when poll() is to be asked.
  [[nodiscard]] int descriptor() const { return pipe_.get(); }
  /// The answer, when it is there.
  std::optional<Answer> poll();

 private:
  pid_t process_ = -1;
  Descriptor pipe_;
  std::string read_;
};

}  // namespace sessionfs::ctl
