// What the terminal shows while something takes long.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace sessionfs::ctl {

/// A line on the terminal for as long as this lives: `what`, and behind it the latest of how far it has come. Where
/// standard error is no terminal nothing is shown, and nothing asked.
class ProgressLine {
 public:
  /// `latest` is asked now and then, in a thread of its own, and may be slow; what it throws is taken for nothing to
  /// tell.
  ProgressLine(std::string what, std::function<std::string()> latest);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

 private:
  void keep_showing(const std::stop_token& over);
  void show(const std::string& latest) const;

  std::string what_;
  std::function<std::string()> latest_;
  std::jthread shower_;
};

}  // namespace sessionfs::ctl
