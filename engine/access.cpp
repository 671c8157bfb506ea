#include "engine/access.hpp"

#include <algorithm>

namespace sessionfs {
namespace {

bool is_glob(std::string_view word) {
  return std::ranges::all_of(word, [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
  // Back to the last star on a mismatch: linear for one star, and never exponential.
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string_view next_line(std::string_view& text) {
  const auto end = text.find('\n');
  const auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::vector<std::string_view> words_of(std::string_view line) {
  static constexpr std::string_view blanks = " \t\r";
  line = line.substr(0, line.find('#'));
  std::vector<std::string_view> words;
  while (true) {
    const auto begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const auto end = std::min(line.find_first_of(blanks), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

std::variant<Access, RuleError> Access::parse(std::string_view text) {
  if (text.size() > max_rules_bytes) return RuleError{1, "the rules are too long"};
  Access access;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto words = words_of(next_line(text));
    if (words.empty()) continue;
    if (words[0] != "allow" && words[0] != "deny") return RuleError{number, "a rule begins with allow or deny"};
    if (words.size() != 3) return RuleError{number, "a rule is: allow|deny SERVICE PEER"};
    if (!is_glob(words[1]) || !is_glob(words[2])) return RuleError{number, "names are printable ASCII"};
    access.rules_.push_back({words[0] == "allow", fold_case(words[1]), fold_case(words[2])});
  }
  return access;
}

bool Access::allows(std::string_view service, const EndpointName& peer) const {
  for (const auto& rule : rules_)
    if (glob_match(rule.service, service) && glob_match(rule.peer, peer.str())) return rule.allow;
  return true;
}

}  // namespace sessionfs
