#include "fs/sessionctl/progress.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <string_view>

#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr int refresh_interval_ms = 200;
constexpr std::string_view clear_row = "\r\x1b[K";

void put(std::string_view text) { (void)!::write(STDERR_FILENO, text.data(), text.size()); }

// One that is longer than a row could not be cleared.
std::string fit_to_row(std::string text) {
  winsize window{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0;
  const std::size_t room = known && window.ws_col > 8 ? window.ws_col - std::size_t{5} : 75;
  if (text.size() <= room) return text;
  std::size_t end = room;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80) --end;  // no half of a character
  text.resize(end);
  return text;
}

void show(const std::string& what, const std::string& latest) {
  const auto words = printable(latest.empty() ? what : what + ": " + latest);
  put(std::string(clear_row).append(fit_to_row(words)).append(" ..."));
}

[[noreturn]] void keep_showing(const std::string& what, const std::function<std::string()>& latest) {
  for (;;) {
    ::poll(nullptr, 0, refresh_interval_ms);
    try {
      if (const auto words = latest(); !words.empty()) show(what, words);
    } catch (const std::exception&) {
      continue;  // whatever it is, the command itself tells of it
    }
  }
}

}  // namespace

ProgressLine::ProgressLine(const std::string& what, const std::function<std::string()>& latest) {
  if (::isatty(STDERR_FILENO) == 0) return;
  show(what, "");
  const pid_t parent = ::getpid();
  shower_ = ::fork();
  if (shower_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // it goes with its parent
  if (::getppid() != parent) ::_exit(0);
  keep_showing(what, latest);
}

ProgressLine::~ProgressLine() {
  if (::isatty(STDERR_FILENO) == 0) return;
  if (shower_ > 0) {
    ::kill(shower_, SIGKILL);
    ::waitpid(shower_, nullptr, 0);
  }
  put(clear_row);
}

}  // namespace sessionfs::ctl
