// A program whose standard input and output are pipes of ours.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "fs/sessionctl/descriptor.hpp"

namespace sessionfs::ctl {

class Program {
 public:
  /// `command`: a program in PATH, and its arguments. In a process group of its own: what a terminal sends to ours is
  /// not for it. Throws Error when it cannot be started.
  explicit Program(std::vector<std::string> command);

  [[nodiscard]] int input() const { return input_.get(); }
  [[nodiscard]] int output() const { return output_.get(); }
  void end_input() { input_.reset(); }
  /// SIGTERM to it and to what it has started.
  void end() const;
  /// Closes the pipes and waits until it has ended; its exit status, as shells say it. Who asks this process to end
  /// meanwhile makes it end.
  int finish();

 private:
  pid_t process_ = -1;
  Descriptor input_;
  Descriptor output_;
};

}  // namespace sessionfs::ctl
