#include "fs/sessionctl/top/top.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "fs/sessionctl/aside.hpp"
#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/top/screen.hpp"
#include "fs/sessionctl/top/view.hpp"

namespace sessionfs::ctl {
namespace {

using Clock = std::chrono::steady_clock;

/// A daemon that takes longer is told to be silent.
constexpr std::chrono::seconds patience{3};
constexpr std::chrono::milliseconds one_second{1000};

// Texts as one: each behind its length and a newline.
std::string packed(const std::vector<std::string>& texts) {
  std::string all;
  for (const auto& text : texts) all += std::to_string(text.size()) + "\n" + text;
  return all;
}

std::vector<std::string> unpacked(const std::string& all) {
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < all.size();) {
    const auto end = all.find('\n', at);
    std::size_t size = 0;
    std::from_chars(all.data() + at, all.data() + end, size);
    texts.push_back(all.substr(end + 1, size));
    at = end + 1 + size;
  }
  return texts;
}

std::string seconds_words(std::chrono::milliseconds time) {
  auto text = std::to_string(time / one_second);
  if (const auto rest = time % one_second; rest.count() > 0) {
    auto digits = std::to_string((one_second + rest).count()).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    text += "." + digits;
  }
  return text + " s";
}

class LiveView {
 public:
  LiveView(const Tree& tree, std::chrono::milliseconds interval)
      : tree_(&tree), interval_(interval), view_(seconds_words(interval), screen_.signs()) {}

  void run() {
    while (!view_.has_ended() && Signals::asked_to_end() == 0) {
      begin_what_is_due();
      view_.handle_size(screen_.size());
      screen_.show(view_.lines());
      if (!wait()) return;
      while (const auto key = screen_.key()) view_.handle_key(*key);
      take_answers();
    }
  }

 private:
  void begin_what_is_due() {
    const auto now = Clock::now();
    if (!command_) {
      doing_ = view_.poll_command();
      if (doing_)
        command_.emplace([this] {
          tree_->command(doing_->verb + " " + doing_->session, doing_->endpoint);
          return std::string();
        });
    }
    if (!look_ && !view_.is_paused() && now >= next_look_) {
      look_.emplace([this] {
        auto texts = tree_->statuses();
        texts.push_back(tree_->host_status());
        return packed(texts);
      });
      look_began_ = now;
      next_look_ = now + interval_;
    }
    if (look_ && now >= look_began_ + patience) view_.handle_silence("it does not answer");
  }

  // Until something comes or is due. False: the terminal has gone.
  bool wait() {
    std::vector<pollfd> files{{STDIN_FILENO, POLLIN, 0}};
    for (const auto* work : {&look_, &command_})
      if (*work) files.push_back({(*work)->descriptor(), POLLIN, 0});
    Signals::wait(files, limit_ms());
    return (files.front().revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
  }

  // Below 0: nothing is due.
  [[nodiscard]] int limit_ms() const {
    if (!look_ && view_.is_paused()) return -1;
    const auto now = Clock::now();
    auto due = look_ ? look_began_ + patience : next_look_;
    if (look_ && due <= now) due = now + patience;  // it has been told
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(std::max(due, now) - now).count());
  }

  void take_answers() {
    if (const auto answer = look_ ? look_->poll() : std::nullopt) {
      look_.reset();
      take_look(*answer);
    }
    if (const auto answer = command_ ? command_->poll() : std::nullopt) {
      command_.reset();
      if (answer->is_done) view_.handle_success(*doing_);
      if (!answer->is_done) view_.handle_failure(answer->text);
      next_look_ = Clock::now();
    }
  }

  void take_look(const Aside::Answer& answer) {
    if (!answer.is_done) return view_.handle_silence(answer.text);
    auto texts = unpacked(answer.text);
    const auto host = texts.back();
    texts.pop_back();
    view_.handle_look({parse_all(host, texts), Clock::now()});
  }

  const Tree* tree_;
  std::chrono::milliseconds interval_;
  Screen screen_;
  View view_;
  std::optional<Aside> look_;
  std::optional<Aside> command_;
  std::optional<Command> doing_;
  Clock::time_point next_look_ = Clock::now();
  Clock::time_point look_began_;
};

}  // namespace

void top(const Tree& tree, std::chrono::milliseconds interval) {
  const Signals signals;
  LiveView(tree, interval).run();
}

}  // namespace sessionfs::ctl
