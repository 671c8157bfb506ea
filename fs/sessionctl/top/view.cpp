#include "fs/sessionctl/top/view.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace sessionfs::ctl {
namespace {

// How a command is told when it was carried out.
struct Done {
  std::string_view verb;
  const char* words;
};
constexpr std::array<Done, 4> done_words{
    {{"suspend", "suspended"}, {"resume", "resumed"}, {"finish", "finished"}, {"abort", "aborted"}}};

constexpr char escape = '\x1b';

}  // namespace

void View::handle_look(Look look) {
  auto next = flows(look_, look);
  if (const Flow* before = selected()) {
    const auto found = std::ranges::find_if(next, [&](const Flow& flow) { return flow.same_session(*before); });
    if (found != next.end()) selected_ = static_cast<std::size_t>(found - next.begin());
  }
  flows_ = std::move(next);
  look_ = std::move(look);
  silence_.clear();
  select(selected_);
}

void View::handle_success(const Command& command) {
  const auto* done = std::ranges::find(done_words, command.verb, &Done::verb);
  message_ = {shown(command.session) + ": " + done->words, Style::good};
}

void View::handle_failure(const std::string& why) { message_ = {shown(why), Style::bad}; }

void View::handle_size(Size size) {
  size_ = size;
  select(selected_);
}

void View::handle_key(char key) {
  message_ = {};
  if (question_) return answer(key);
  const std::size_t page = std::max<std::size_t>(parts().list, 2) - 1;
  switch (key) {
    case 'j':
      return select(selected_ + 1);
    case 'k':
      return select(selected_ - std::min<std::size_t>(selected_, 1));
    case ' ':
      return select(selected_ + page);
    case 'b':
      return select(selected_ - std::min(selected_, page));
    case 'g':
      return select(0);
    case 'G':
      return select(flows_.size());
    case 's':
      return order("suspend");
    case 'r':
      return order("resume");
    case 'f':
      return order("finish");
    case 'a':
      order("abort");
      question_ = poll_command();
      return;
    case 'p':
      is_paused_ = !is_paused_;
      return;
    case 'h':
    case '?':
      shows_help_ = !shows_help_;
      return select(selected_);
    case 'q':
      has_ended_ = true;
      return;
    default:
      return;
  }
}

void View::answer(char key) {
  if (key == 'y') command_ = question_;
  if (key == 'y' || key == 'n' || key == 'q' || key == escape) question_.reset();
}

void View::order(const char* verb) {
  const Flow* flow = selected();
  if (flow == nullptr) return handle_failure("there is no session");
  command_ = Command{flow->endpoint, verb, flow->session.name};
}

std::optional<Command> View::poll_command() { return std::exchange(command_, std::nullopt); }

const Flow* View::selected() const { return selected_ < flows_.size() ? &flows_[selected_] : nullptr; }

// Selects the flow at `index`, or the last one; the list moves as little as is needed to show it.
void View::select(std::size_t index) {
  selected_ = std::min(index, std::max<std::size_t>(flows_.size(), 1) - 1);
  const std::size_t seen = std::max<std::size_t>(parts().list, 1);
  first_ = std::min(first_, flows_.size() - std::min(flows_.size(), seen));
  first_ = std::clamp(first_, selected_ + 1 - std::min(selected_ + 1, seen), selected_);
}

}  // namespace sessionfs::ctl
