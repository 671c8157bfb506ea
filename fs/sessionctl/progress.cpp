#include "fs/sessionctl/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string_view>

#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr std::chrono::milliseconds refresh_interval{200};
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

}  // namespace

ProgressLine::ProgressLine(std::string what, std::function<std::string()> latest)
    : what_(std::move(what)), latest_(std::move(latest)) {
  if (::isatty(STDERR_FILENO) == 0) return;
  show("");
  shower_ = std::jthread([this](const std::stop_token& over) { keep_showing(over); });
}

ProgressLine::~ProgressLine() {
  if (!shower_.joinable()) return;
  shower_.request_stop();
  shower_.join();
  put(clear_row);
}

void ProgressLine::keep_showing(const std::stop_token& over) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any stopped;
  while (!stopped.wait_for(lock, over, refresh_interval, [&] { return over.stop_requested(); })) {
    try {
      if (const auto latest = latest_(); !latest.empty()) show(latest);
    } catch (const std::exception&) {
      continue;  // whatever it is, the command itself tells of it
    }
  }
}

void ProgressLine::show(const std::string& latest) const {
  put(std::string(clear_row) + fit_to_row(printable(what_ + (latest.empty() ? "" : ": " + latest))) + " ...");
}

}  // namespace sessionfs::ctl
