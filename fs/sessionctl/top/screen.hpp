// The terminal, by ncurses.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "fs/sessionctl/top/line.hpp"
#include "fs/sessionctl/top/view.hpp"

namespace sessionfs::ctl {

/// Has the terminal while it is there, and leaves it as it was; one at a time. SIGTSTP is handled: the terminal is the
/// shell's meanwhile.
class Screen {
 public:
  /// Throws Error when standard input or output is no terminal, or one of which nothing is known.
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  [[nodiscard]] Size size() const;
  [[nodiscard]] const Signs& signs() const;
  void show(const std::vector<Line>& lines);
  /// What was typed, in View's letters; nothing: nothing more. Does not wait.
  std::optional<char> key();

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;
};

}  // namespace sessionfs::ctl
