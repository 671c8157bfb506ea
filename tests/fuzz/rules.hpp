// What holds for both files of rules, access and policy: they are judged line by line.
#pragma once

#include <optional>

#include "engine/access.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {

/// `judge(text)` gives the first error of a text of rules, or nothing.
template <class Judge>
void require_judged_by_line(std::string_view text, Judge judge) {
  const std::optional<RuleError> error = judge(text);
  if (text.size() > max_rules_bytes) {
    require(error.has_value(), "rules that are too long are refused");
    return;
  }
  std::optional<std::size_t> first;
  std::size_t number = 0;
  for (std::string_view left = text; !left.empty();) {
    const std::size_t before = left.size();
    const std::string_view line = next_line(left);
    ++number;
    require(left.size() < before && line.find('\n') == std::string_view::npos, "a line is taken");
    if (!first && judge(line)) first = number;
  }
  require(error.has_value() == first.has_value(), "a text is good when each of its lines is");
  if (!error) return;
  require(error->line == *first, "the error is in the first bad line");
  require(!error->reason.empty(), "an error has a reason");
  require(std::ranges::all_of(error->reason, [](char c) { return c >= ' ' && c < 0x7f; }), "a reason is one line");
}

}  // namespace sessionfs::fuzz
