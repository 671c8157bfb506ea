#include "fs/sessionctl/top/table.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>

#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr std::size_t narrow_gap = 1;
constexpr std::size_t wide_gap = 2;
constexpr std::size_t widest_gap = 4;

// --- What stands in a cell, and how --------------------------------------------------------------------------------

using NumberOf = Count SessionReport::*;
using TextOf = Words SessionReport::*;

std::string short_or_dash(const Count& bytes) { return bytes ? short_size(*bytes) : "-"; }
Style style_of_size(const Count& bytes) { return bytes.value_or(0) > 0 ? Style::strong : Style::faint; }

std::string name_cell(const Flow& flow) { return shown(flow.session.name); }
std::string endpoint_cell(const Flow& flow) { return shown(flow.endpoint); }
std::string state_cell(const Flow& flow) { return shown(flow.session.state); }
std::string since_cell(const Flow& flow) {
  return flow.session.seconds_in_state ? duration_words(*flow.session.seconds_in_state) : "-";
}
std::string in_cell(const Flow& flow) { return short_or_dash(flow.in); }
std::string out_cell(const Flow& flow) { return short_or_dash(flow.out); }
template <NumberOf number>
std::string size_cell(const Flow& flow) {
  return short_or_dash(flow.session.*number);
}
template <TextOf text>
std::string text_cell(const Flow& flow) {
  return flow.session.*text ? shown(*(flow.session.*text)) : "-";
}

Style plain(const Flow&) { return Style::plain; }
Style faint(const Flow&) { return Style::faint; }
Style of_state(const Flow& flow) { return style_of(flow.session); }
Style of_in(const Flow& flow) { return style_of_size(flow.in); }
Style of_out(const Flow& flow) { return style_of_size(flow.out); }
template <NumberOf number>
Style of_size(const Flow& flow) {
  return style_of_size(flow.session.*number);
}

// --- The columns ---------------------------------------------------------------------------------------------------

enum class Align { left, right };

struct Column {
  const char* heading;
  Align align;
  std::size_t least;      // so that the table does not move whenever a number changes
  std::size_t narrowest;  // to which it may be cut; whole: it may not
  int importance;         // those below always_there come into the table where there is room
  std::string (*text)(const Flow&);
  Style (*style)(const Flow&);
};
constexpr std::size_t whole = 0;
constexpr int always_there = 10;

using enum Align;
using S = SessionReport;

// In the order in which they stand. Of those that may be cut the last one is cut first.
// clang-format off
constexpr std::array<Column, 14> all_columns{{
    {"SESSION",    left,   0, 12,    20, name_cell,                 plain},
    {"ENDPOINT",   left,   0, whole,  8, endpoint_cell,             plain},
    {"STATE",      left,  11, whole, 19, state_cell,                of_state},
    {"SINCE",      left,  11, whole,  9, since_cell,                faint},
    {"IN/s",       right,  5, whole, 18, in_cell,                   of_in},
    {"OUT/s",      right,  5, whole, 17, out_cell,                  of_out},
    {"HELD",       right,  5, whole, 16, size_cell<&S::held>,       of_size<&S::held>},
    {"WAITING",    right,  5, whole, 15, size_cell<&S::waiting>,    of_size<&S::waiting>},
    {"RECEIVED",   right,  5, whole,  4, size_cell<&S::received>,   faint},
    {"SENT",       right,  5, whole,  3, size_cell<&S::sent>,       faint},
    {"IFACE",      left,   0, whole, 14, text_cell<&S::interface>,  plain},
    {"LOCAL",      left,   0, whole,  5, text_cell<&S::local>,      faint},
    {"REMOTE",     left,   0, whole,  6, text_cell<&S::remote>,     faint},
    {"LAST EVENT", left,  12, 12,    13, text_cell<&S::event>,      faint},
}};
// clang-format on

}  // namespace

Style style_of(const SessionReport& session) {
  if (session.state == "active" || session.state == "moving") return Style::good;
  if (session.state == "closed") return session.error ? Style::bad : Style::faint;
  return session.state == "suspended" ? Style::strong : Style::notice;
}

FlowTable::FlowTable(std::span<const Flow> flows, std::size_t columns, const Signs& signs)
    : columns_(columns), signs_(&signs), widths_(all_columns.size()) {
  choose(flows);
  fit();
}

// Which columns there are, and how wide each would be: as many of them as there is room for.
void FlowTable::choose(std::span<const Flow> flows) {
  std::vector<std::size_t> order(all_columns.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, std::greater(), [](std::size_t i) { return all_columns.at(i).importance; });
  std::size_t least = 0;    // what they need
  std::size_t natural = 0;  // what they would like
  for (const auto i : order) {
    const Column& column = all_columns.at(i);
    std::size_t size = std::max(width(column.heading), column.least);
    for (const auto& flow : flows) size = std::max(size, column.text(flow).size());
    const std::size_t needed = column.narrowest == whole ? size : std::min(column.narrowest, size);
    least += needed + narrow_gap;
    natural += size + wide_gap;
    const bool has_room =
        column.importance >= always_there ? least <= columns_ + narrow_gap : natural <= columns_ + wide_gap;
    if (i != order.front() && !has_room) return;
    widths_[i] = size;
  }
}

// Cuts what is too much, or spreads the columns over what is left.
void FlowTable::fit() {
  std::size_t count = 0;
  std::size_t sum = 0;
  for (const auto size : widths_) {
    sum += size;
    count += size > 0 ? 1 : 0;
  }
  const std::size_t gaps = std::max<std::size_t>(count, 2) - 1;
  gap_ = sum + gaps * wide_gap > columns_ ? narrow_gap : std::min(widest_gap, (columns_ - sum) / gaps);
  const std::size_t wanted = sum + gaps * gap_;
  std::size_t excess = wanted > columns_ ? wanted - columns_ : 0;
  for (std::size_t i = all_columns.size(); i-- > 0;) {
    if (all_columns.at(i).narrowest == whole || widths_[i] <= all_columns.at(i).narrowest) continue;
    const std::size_t less = std::min(excess, widths_[i] - all_columns.at(i).narrowest);
    widths_[i] -= less;
    excess -= less;
  }
}

Line FlowTable::heading() const {
  std::string text;
  for (std::size_t i = 0; i < widths_.size(); ++i) {
    if (widths_[i] == 0) continue;
    const std::string name = all_columns.at(i).heading;
    const std::string blanks(widths_[i] - std::min(widths_[i], name.size()), ' ');
    if (!text.empty()) text += std::string(gap_, ' ');
    text += all_columns.at(i).align == right ? blanks + name : name + blanks;
  }
  text.resize(columns_, ' ');
  return {{text, Style::heading}};
}

Line FlowTable::row(const Flow& flow, bool is_selected) const {
  Line line;
  for (std::size_t i = 0; i < widths_.size(); ++i) {
    if (widths_[i] == 0) continue;
    const Column& column = all_columns.at(i);
    const auto text = cut(column.text(flow), widths_[i], *signs_, Cut::middle);
    const std::string blanks(widths_[i] - width(text), ' ');
    if (!line.empty()) line.push_back({std::string(gap_, ' ')});
    line.push_back({column.align == right ? blanks + text : text + blanks, column.style(flow)});
  }
  line = cut(line, columns_, *signs_);
  if (!is_selected) return line;
  line.push_back({std::string(columns_ - width(line), ' ')});
  for (auto& segment : line) segment.style = Style::selected;
  return line;
}

}  // namespace sessionfs::ctl
