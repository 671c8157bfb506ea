#include "engine/policy.hpp"

#include <algorithm>
#include <charconv>

namespace sessionfs {
namespace {

constexpr std::size_t max_speed_digits = 9;
constexpr std::size_t max_shown_bytes = 64;
constexpr std::string_view speed_prefix = "speed>=";
constexpr LinkKind all_kinds[] = {LinkKind::wired, LinkKind::wireless, LinkKind::cellular, LinkKind::vpn,
                                  LinkKind::loopback};

bool is_requirement(std::string_view word) {
  if (word == "family=ipv4" || word == "family=ipv6") return true;
  if (!word.starts_with(speed_prefix)) return false;
  word.remove_prefix(speed_prefix.size());
  return !word.empty() && word.size() <= max_speed_digits &&
         std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_control(char c) { return (c >= 0 && c < ' ') || c == 0x7f; }

// Empty when the words are a rule, else why not.
std::string_view fault_of(const std::vector<std::string_view>& words) {
  if (words[0] == "stay") return words.size() == 1 ? "" : "stay stands alone";
  if (words[0] != "prefer" && words[0] != "deny" && words[0] != "require")
    return "a rule begins with prefer, require, deny or stay";
  if (words.size() < 2) return "the rule names nothing";
  if (words[0] == "require" && !std::all_of(words.begin() + 1, words.end(), is_requirement))
    return "require knows speed>=MBITS, family=ipv4 and family=ipv6";
  if (std::ranges::any_of(words, [](std::string_view word) { return std::ranges::any_of(word, is_control); }))
    return "a name has no control characters";
  return "";
}

std::optional<LinkKind> kind_of(std::string_view word) {
  for (const auto kind : all_kinds)
    if (word == name_of(kind)) return kind;
  return std::nullopt;
}

}  // namespace

std::string_view name_of(LinkKind kind) {
  switch (kind) {
    case LinkKind::wired:
      return "wired";
    case LinkKind::wireless:
      return "wireless";
    case LinkKind::cellular:
      return "cellular";
    case LinkKind::vpn:
      return "vpn";
    case LinkKind::loopback:
      return "loopback";
  }
  return "";
}

std::string shown(std::string_view word) {
  std::size_t size = std::min(word.size(), max_shown_bytes);
  if (size < word.size())  // no half of a UTF-8 character
    while (size > 0 && (static_cast<unsigned char>(word[size]) & 0xc0) == 0x80) --size;
  std::string text(word.substr(0, size));
  std::ranges::replace_if(text, is_control, '?');
  return size < word.size() ? text + "..." : text;
}

std::optional<RuleError> check_policy(std::string_view text) {
  auto parsed = Policy::parse(text);
  if (auto* error = std::get_if<RuleError>(&parsed)) return std::move(*error);
  return std::nullopt;
}

void Policy::Words::add(std::string_view word) {
  const auto place = words_.size();
  if (!places_.emplace(word, place).second) return;
  words_.emplace_back(word);
  if (const auto kind = kind_of(word)) kinds_[static_cast<std::size_t>(*kind)] = place;
  if (word.find_first_of("*?") != std::string_view::npos) globs_.push_back(place);
}

std::size_t Policy::Words::first_match(const std::string& name, LinkKind kind) const {
  const auto index = static_cast<std::size_t>(kind);
  std::size_t first = index < kinds ? kinds_[index] : SIZE_MAX;
  if (const auto exact = places_.find(name); exact != places_.end() && !kind_of(name))
    first = std::min(first, exact->second);
  for (const auto place : globs_) {
    if (place >= first) break;
    if (glob_match(words_[place], name)) return place;
  }
  return first;
}

std::variant<Policy, RuleError> Policy::parse(std::string_view text) {
  if (text.size() > max_rules_bytes) return RuleError{1, "the rules are too long"};
  Policy policy;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto words = words_of(next_line(text));
    if (words.empty()) continue;
    if (const auto fault = fault_of(words); !fault.empty()) return RuleError{number, std::string(fault)};
    policy.add_rule(words);
  }
  return policy;
}

void Policy::add_rule(const std::vector<std::string_view>& words) {
  if (words[0] == "stay") stay_ = true;
  for (auto word = words.begin() + 1; word != words.end(); ++word) {
    if (words[0] == "prefer") prefer_.add(*word);
    if (words[0] == "deny") deny_.add(*word);
    if (words[0] == "require") add_requirement(*word);
  }
}

void Policy::add_requirement(std::string_view word) {
  if (word == "family=ipv4") {
    requires_ipv4_ = true;
  } else if (word == "family=ipv6") {
    requires_ipv6_ = true;
  } else {
    std::uint32_t speed = 0;
    std::from_chars(word.data() + speed_prefix.size(), word.data() + word.size(), speed);
    speed_mbits_ = std::max(speed_mbits_, speed);
  }
}

Policy::Match Policy::match(const std::string& name, LinkKind kind) const {
  return {prefer_.first_match(name, kind), deny_.first_match(name, kind)};
}

std::string Policy::why_not(const Interface& interface) const {
  return why_not(interface, match(interface.name, interface.kind));
}

std::string Policy::why_not(const Interface& interface, Match match) const {
  if (match.denied != SIZE_MAX) return "denied by: deny " + shown(deny_.at(match.denied));
  if (!interface.carrier) return "has no carrier";
  if (!interface.ipv4 && !interface.ipv6) return "has no address";
  if (requires_ipv4_ && !interface.ipv4) return "has no IPv4 address, which the policy requires";
  if (requires_ipv6_ && !interface.ipv6) return "has no IPv6 address, which the policy requires";
  if (interface.kind == LinkKind::loopback || interface.speed_mbits >= speed_mbits_) return "";
  const auto required = std::to_string(speed_mbits_);
  if (interface.speed_mbits == 0) return "its speed is not known, and the policy requires " + required + " Mbit/s";
  return "is too slow: " + std::to_string(interface.speed_mbits) + " Mbit/s, the policy requires " + required;
}

Policy::Rank Policy::rank(const Interface& interface, Match match) {
  return {match.preferred,
          interface.kind == LinkKind::loopback,
          interface.metered,
          UINT32_MAX - interface.speed_mbits,
          !interface.ipv4 || !interface.ipv6,
          interface.name};
}

std::vector<std::size_t> Policy::ranked(std::span<const Interface> interfaces) const {
  std::vector<std::pair<Rank, std::size_t>> usable;
  for (std::size_t i = 0; i < interfaces.size(); ++i) {
    const auto found = match(interfaces[i].name, interfaces[i].kind);
    if (why_not(interfaces[i], found).empty()) usable.emplace_back(rank(interfaces[i], found), i);
  }
  std::ranges::sort(usable);
  std::vector<std::size_t> indices;
  indices.reserve(usable.size());
  for (const auto& [rank, index] : usable) indices.push_back(index);
  return indices;
}

std::string Policy::preferred_by(std::size_t place) const { return "prefer " + shown(prefer_.at(place)); }

}  // namespace sessionfs
