#include "engine/policy.hpp"

#include <algorithm>

namespace sessionfs {
namespace {

constexpr std::size_t max_speed_digits = 9;

bool is_requirement(std::string_view word) {
  if (word == "family=ipv4" || word == "family=ipv6") return true;
  constexpr std::string_view speed = "speed>=";
  if (!word.starts_with(speed)) return false;
  word.remove_prefix(speed.size());
  return !word.empty() && word.size() <= max_speed_digits &&
         std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; });
}

// Empty when the words are a rule, else why not.
std::string_view fault_of(const std::vector<std::string_view>& words) {
  if (words[0] == "stay") return words.size() == 1 ? "" : "stay stands alone";
  if (words[0] != "prefer" && words[0] != "deny" && words[0] != "require")
    return "a rule begins with prefer, require, deny or stay";
  if (words.size() < 2) return "the rule names nothing";
  if (words[0] == "require" && !std::all_of(words.begin() + 1, words.end(), is_requirement))
    return "require knows speed>=MBITS, family=ipv4 and family=ipv6";
  return "";
}

}  // namespace

std::optional<RuleError> check_policy(std::string_view text) {
  if (text.size() > max_rules_bytes) return RuleError{1, "the rules are too long"};
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto words = words_of(next_line(text));
    if (words.empty()) continue;
    if (const auto fault = fault_of(words); !fault.empty()) return RuleError{number, std::string(fault)};
  }
  return std::nullopt;
}

}  // namespace sessionfs
