// What the terminal shows while something takes long.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace sessionfs::ctl {

/// A line on the terminal for as long as this lives: `what`, and behind it the latest of how far it has come. Where
/// standard error is no terminal nothing is shown, and nothing asked.
class ProgressLine {
 public:
  /// `latest` is asked now and then, in a process of its own, and may be slow; what it throws is nothing to tell.
  ProgressLine(const std::string& what, const std::function<std::string()>& latest);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

 private:
  pid_t shower_ = -1;
};

}  // namespace sessionfs::ctl
