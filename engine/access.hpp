// Who may connect to which service of an endpoint: the rules of its file `access`.
//
// One rule a line, `allow|deny SERVICE PEER`, both globs (* and ?); `#` starts a comment; the first match wins.
// Without a match: every peer that has proved its name may connect.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/name.hpp"

namespace sessionfs {

inline constexpr std::size_t max_rules_bytes = 64 * 1024;

/// The first line of a text of rules that does not parse.
struct RuleError {
  std::size_t line = 0;  // from 1
  std::string reason;
};

class Access {
 public:
  /// The rules that `text` (at most max_rules_bytes) spells.
  static std::variant<Access, RuleError> parse(std::string_view text);

  [[nodiscard]] bool allows(std::string_view service, const EndpointName& peer) const;

 private:
  struct Rule {
    bool allow;
    std::string service;
    std::string peer;
  };
  std::vector<Rule> rules_;
};

/// Whether `text` matches `pattern`, in which * stands for any characters and ? for one.
bool glob_match(std::string_view pattern, std::string_view text);

/// The words of a line, which blanks and tabs separate and `#` ends.
std::vector<std::string_view> words_of(std::string_view line);

/// Takes the next line, without its end, from the front of `text`.
std::string_view next_line(std::string_view& text);

}  // namespace sessionfs
