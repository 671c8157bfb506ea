// Which interfaces an endpoint may use, and which of them rather than others: the rules of its file `policy`
// (thesis 3.6).
//
//   prefer eth* wlan*       interface names (globs, * and ?) or kinds: wired, wireless, cellular, vpn, loopback
//   require speed>=1000     Mbit/s; also family=ipv4 and family=ipv6
//   deny wwan*              names or kinds, as for prefer
//   stay                    change only when the current interface is lost
//
// One rule a line; `#` starts a comment. The order of lines counts only for prefer: all their words make one list.
// A word that is a kind's means the kind, never an interface of that name. Names are compared byte by byte.
// Of several requirements each has to hold. An interface without a carrier or an address is never used.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "engine/access.hpp"
#include "engine/interface.hpp"

namespace sessionfs {

/// The first line of `text` that is no rule; nothing when all are.
std::optional<RuleError> check_policy(std::string_view text);

class Policy {
 public:
  /// What the words of prefer and deny make of a name and a kind: each list's first word that matches.
  struct Match {
    std::size_t preferred = SIZE_MAX;  // its place in the list; SIZE_MAX: none matches
    std::size_t denied = SIZE_MAX;
  };

  /// The smaller, the better. What differs first, in the order of the members, decides.
  struct Rank {
    std::size_t preferred = SIZE_MAX;
    bool loopback = false;
    bool metered = false;
    std::uint32_t slowness = 0;  // UINT32_MAX less the speed
    bool one_family = false;     // it has not both
    std::string name;            // the same result in each run

    friend auto operator<=>(const Rank&, const Rank&) = default;
  };

  /// No rules: any interface with a carrier and an address may be used.
  Policy() = default;

  /// The rules that `text` (at most max_rules_bytes) spells.
  static std::variant<Policy, RuleError> parse(std::string_view text);

  /// Whether addresses of the family may be used: not when only the other one is required. With both required an
  /// interface has to have both, and both may be used.
  [[nodiscard]] bool allows_ipv4() const { return requires_ipv4_ || !requires_ipv6_; }
  [[nodiscard]] bool allows_ipv6() const { return requires_ipv6_ || !requires_ipv4_; }
  [[nodiscard]] bool stay() const { return stay_; }

  /// Empty: the interface may be used. Else why not, to follow its name: "denied by: deny wwan*", "has no carrier",
  /// "is too slow: 100 Mbit/s, the policy requires 1000". One line of bounded length.
  /// A required speed refuses an unknown one (0), unless it is 0 itself; loopback is always fast enough.
  [[nodiscard]] std::string why_not(const Interface& interface) const;

  /// Indices of those that may be used, the best first; among equal ones, in the order given.
  [[nodiscard]] std::vector<std::size_t> ranked(std::span<const Interface> interfaces) const;

  // The same in steps. A match costs time in proportion to the rules, and holds as long as name and kind do.
  [[nodiscard]] Match match(const std::string& name, LinkKind kind) const;
  [[nodiscard]] std::string why_not(const Interface& interface, Match match) const;
  [[nodiscard]] static Rank rank(const Interface& interface, Match match);

  /// "prefer eth*" for a place in the list; long words are cut.
  [[nodiscard]] std::string preferred_by(std::size_t place) const;

 private:
  static constexpr std::size_t kinds = 5;

  // The words of all lines prefer, or deny, each but once.
  class Words {
   public:
    void add(std::string_view word);
    [[nodiscard]] std::size_t first_match(const std::string& name, LinkKind kind) const;
    [[nodiscard]] const std::string& at(std::size_t place) const { return words_[place]; }

   private:
    std::vector<std::string> words_;
    std::unordered_map<std::string, std::size_t> places_;  // of each word: also whether it is there already
    std::vector<std::size_t> globs_;                       // the places of those with a * or ?
    std::array<std::size_t, kinds> kinds_{SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
  };

  void add_rule(const std::vector<std::string_view>& words);
  void add_requirement(std::string_view word);

  Words prefer_;
  Words deny_;
  std::uint32_t speed_mbits_ = 0;
  bool requires_ipv4_ = false;
  bool requires_ipv6_ = false;
  bool stay_ = false;
};

/// As much of a name or a rule's word as a line of status shows: control characters replaced, its length bounded.
std::string shown(std::string_view word);

}  // namespace sessionfs
