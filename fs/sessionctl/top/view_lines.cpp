// How the live view looks.
#include <algorithm>
#include <array>
#include <map>

#include "fs/sessionctl/status.hpp"
#include "fs/sessionctl/top/table.hpp"
#include "fs/sessionctl/top/view.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

// From so many rows on there is this part.
constexpr std::size_t rows_for_head = 10;
constexpr std::size_t rows_for_help = 14;
constexpr std::size_t rows_for_details = 16;
constexpr std::size_t rows_for_long_details = 32;
constexpr std::size_t head_rows = 4;  // title, states, totals, trouble
constexpr std::size_t detail_rows = 7;
constexpr std::size_t long_detail_rows = 10;
constexpr std::size_t key_columns = 13;  // of the help

struct KeyHelp {
  const char* key;
  const char* what;
};
constexpr std::array<KeyHelp, 7> keys{
    {{"s", "suspend"}, {"r", "resume"}, {"f", "finish"}, {"a", "abort"}, {"p", "pause"}, {"h", "help"}, {"q", "quit"}}};
constexpr std::array<KeyHelp, 6> long_help{
    {{"IN/s, OUT/s", "bytes a second that came from the peer, and that the peer has taken"},
     {"HELD", "bytes written here that the peer does not hold yet"},
     {"WAITING", "bytes of the peer that nobody has read here yet"},
     {"s r f a", "suspend, resume; finish: write no more; abort: drop it, undelivered"},
     {"j k g G", "select, like arrows, Home, End, PgUp, PgDn"},
     {"p, h, q", "stop looking or go on; show this or not; quit"}}};

std::string counted(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

Line section(const std::string& name, std::size_t columns, const Signs& signs) {
  Line line{{signs.rule + signs.rule + " ", Style::faint}, {name, Style::strong}, {" ", Style::faint}};
  line = cut(line, columns, signs);
  std::string rest;
  for (std::size_t i = width(line); i < columns; ++i) rest += signs.rule;
  line.push_back({rest, Style::faint});
  return line;
}

}  // namespace

// Of a terminal that is low the list is what stays.
View::Parts View::parts() const {
  Parts parts;
  if (size_.rows >= rows_for_head) parts.head = head_rows;
  if (size_.rows >= (shows_help_ ? rows_for_help : rows_for_details)) parts.details = detail_rows;
  if (size_.rows >= rows_for_long_details) parts.details = long_detail_rows;
  const std::size_t around = parts.head + parts.details + 2;  // the heading, and what is at the bottom
  parts.list = size_.rows - std::min(size_.rows, around);
  return parts;
}

std::vector<Line> View::lines() const {
  const Parts has = parts();
  std::vector<Line> all;
  if (has.head > 0) all = {title(), states(), totals(), trouble()};
  const FlowTable table(flows_, size_.columns, *signs_);
  all.push_back(table.heading());
  const std::size_t end = std::min(flows_.size(), first_ + has.list);
  for (std::size_t i = first_; i < end; ++i) {
    auto row = table.row(flows_[i], i == selected_);
    if (!silence_.empty())
      for (auto& segment : row) segment.style = i == selected_ ? Style::selected : Style::faint;
    all.push_back(std::move(row));
  }
  if (flows_.empty() && look_ && has.list > 0) all.push_back({{"no sessions", Style::faint}});
  const std::size_t rows_above = size_.rows - std::min(size_.rows, has.details + 1);
  all.resize(std::max(rows_above, std::size_t{1}));
  if (has.details > 0) {
    auto more = shows_help_ ? help() : details();
    more.resize(has.details);
    all.insert(all.end(), more.begin(), more.end());
  }
  if (size_.rows > 1) all.push_back(bottom());
  for (auto& line : all) line = cut(line, size_.columns, *signs_);
  return all;
}

Line View::title() const {
  if (!look_) return {{"sessionctl top", Style::strong}};
  const HostReport& host = look_->host;
  return {{"sessionfs ", Style::strong},
          {shown(host.mount)},
          {", domain " + shown(host.domain) + ", name server " + shown(host.name_server), Style::faint}};
}

Line View::states() const {
  if (!look_) return {};
  std::map<std::string, std::size_t> counts;
  std::map<std::string, Style> styles;
  for (const auto& flow : flows_) {
    ++counts[flow.session.state];
    styles[flow.session.state] = style_of(flow.session);
  }
  Line line{{counted(look_->host.endpoints.size(), "endpoint") + ", " + counted(flows_.size(), "session")}};
  const char* before = ": ";
  for (const auto& [state, count] : counts) {
    line.push_back({before});
    line.push_back({std::to_string(count) + " " + shown(state), styles[state]});
    before = ", ";
  }
  return spread(line, {{is_paused_ ? "PAUSED" : "every " + interval_, is_paused_ ? Style::notice : Style::faint}},
                size_.columns, *signs_);
}

Line View::totals() const {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  std::uint64_t held = 0;
  std::uint64_t waiting = 0;
  for (const auto& flow : flows_) {
    in += flow.in.value_or(0);
    out += flow.out.value_or(0);
    held += flow.session.held.value_or(0);
    waiting += flow.session.waiting.value_or(0);
  }
  return {
      {"in "},      {size_words(in) + "/s", Style::strong}, {"   out "},     {size_words(out) + "/s", Style::strong},
      {"   held "}, {size_words(held), Style::strong},      {"   waiting "}, {size_words(waiting), Style::strong}};
}

// What is worst.
Line View::trouble() const {
  if (!silence_.empty()) return {{"waiting for the daemon: " + shown(silence_), Style::bad}};
  if (!look_) return {};
  for (const auto& endpoint : look_->host.endpoints)
    if (endpoint.away) return {{shown(endpoint.name + ": " + *endpoint.away), Style::notice}};
  const auto& troubles = look_->host.troubles;
  if (troubles.empty()) return {};
  const std::string more = troubles.size() > 1 ? " (and " + std::to_string(troubles.size() - 1) + " more)" : "";
  return {{"trouble: " + shown(troubles.front()) + more, Style::notice}};
}

std::vector<Line> View::details() const {
  const Flow* flow = selected();
  if (flow == nullptr) return {};
  const SessionReport& session = flow->session;
  std::vector<Line> all{section(shown(session.name) + " of " + shown(flow->endpoint), size_.columns, *signs_)};
  std::string since = session.state;
  if (session.seconds_in_state) since += " for " + duration_words(*session.seconds_in_state);
  if (session.event)
    since += ", last event " + (session.transition ? "T" + std::to_string(*session.transition) + " " : "") +
             shown(*session.event);
  all.push_back({{since, style_of(session)}});
  for (const auto& remark : remarks(session)) all.push_back({{shown(remark)}});
  const auto number = [](const char* what, const Count& bytes) {
    return std::string(what) + " " + (bytes ? size_words(*bytes) : "-");
  };
  all.push_back({{number("sent", session.sent) + ", " + number("taken by the peer", session.acked) + "; " +
                      number("received", session.received) + ", " + number("read here", session.read),
                  Style::faint}});
  return all;
}

std::vector<Line> View::help() const {
  std::vector<Line> all{section("help", size_.columns, *signs_)};
  for (const auto& [key, what] : long_help) {
    std::string name = key;
    name.resize(key_columns, ' ');
    all.push_back({{name, Style::strong}, {what}});
  }
  return all;
}

Line View::bottom() const {
  if (question_) {
    const auto name = cut(shown(question_->session), size_.columns / 2, *signs_, Cut::middle);
    return {{question_->verb + " " + name + ", without delivery? y/n", Style::notice}};
  }
  if (!message_.text.empty()) return {message_};
  Line line{{signs_->arrows, Style::strong}, {" select"}};
  for (const auto& [key, what] : keys) {
    line.push_back({"  "});
    line.push_back({key, Style::strong});
    line.push_back({std::string(" ") + what});
  }
  return line;
}

}  // namespace sessionfs::ctl
