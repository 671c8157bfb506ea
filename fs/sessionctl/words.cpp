#include "fs/sessionctl/words.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <optional>

namespace sessionfs::ctl {
namespace {

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

struct Unit {
  const char* name;
  std::uint64_t seconds;
};
constexpr std::array<Unit, 4> units_of_time{{{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}}};

struct StateWords {
  std::string_view name;
  const char* words;
};
constexpr std::array<StateWords, 7> states{{{"CONNECTING", "connecting"},
                                            {"ACTIVE", "active"},
                                            {"MOVING", "moving"},
                                            {"READY_RESUME", "interrupted"},
                                            {"SENT_RESUME", "resuming"},
                                            {"SUSPENDED", "suspended"},
                                            {"CLOSED", "closed"}}};

}  // namespace

std::string printable(std::string_view text, std::string_view kept) {
  constexpr std::string_view digits = "0123456789abcdef";
  constexpr unsigned char first_of_c1 = 0xc2;  // U+0080 to U+009F in UTF-8, with 0x80 to 0x9F behind it
  std::string out;
  const auto escape = [&](unsigned char byte) {
    out += "\\x";
    out += digits[byte >> 4];
    out += digits[byte & 15];
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (byte == first_of_c1 && next >= 0x80 && next < 0xa0) {
      escape(byte);
      escape(static_cast<unsigned char>(next));
      ++i;
    } else if ((byte < ' ' || byte == 0x7f) && kept.find(text[i]) == std::string_view::npos) {
      escape(byte);
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string size_words(const std::string& bytes) {
  constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  const auto value = number_of(bytes);
  if (!value) return bytes;
  std::size_t unit = 0;
  std::uint64_t part = 1;
  while (unit + 1 < units.size() && *value / part >= 1024) {
    part *= 1024;
    ++unit;
  }
  std::string text = std::to_string(*value / part);
  if (unit > 0 && *value / part < 10) text += "." + std::to_string(*value % part * 10 / part);
  return text + " " + units.at(unit);
}

std::string duration_words(const std::string& seconds) {
  const auto value =
      seconds.ends_with('s') ? number_of(std::string_view(seconds).substr(0, seconds.size() - 1)) : std::nullopt;
  if (!value) return seconds;
  const auto* first = std::ranges::find_if(units_of_time, [&](const Unit& unit) { return *value >= unit.seconds; });
  if (first == units_of_time.end()) return "0 s";
  std::string text = std::to_string(*value / first->seconds) + " " + first->name;
  const auto* second = std::next(first);
  if (second == units_of_time.end()) return text;
  const auto rest = *value % first->seconds / second->seconds;
  return rest == 0 ? text : text + " " + std::to_string(rest) + " " + second->name;
}

std::string state_words(const std::string& name) {
  const auto* found = std::ranges::find(states, name, &StateWords::name);
  return found == states.end() ? name : found->words;
}

}  // namespace sessionfs::ctl
