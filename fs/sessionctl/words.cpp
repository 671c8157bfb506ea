#include "fs/sessionctl/words.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <iterator>

namespace sessionfs::ctl {
namespace {

constexpr std::array<const char*, 7> size_units{"", "K", "M", "G", "T", "P", "E"};

struct Scaled {
  std::string number;
  std::size_t unit;
};

// Rounded down, with one digit behind the point where there is one before it.
Scaled scaled(std::uint64_t bytes) {
  std::size_t unit = 0;
  std::uint64_t part = 1;
  while (bytes / part >= 1024) {
    part *= 1024;
    ++unit;
  }
  std::string number = std::to_string(bytes / part);
  if (unit > 0 && bytes / part < 10) number += "." + std::to_string(bytes % part / (part / 1024) * 10 / 1024);
  return {number, unit};
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

std::string unescaped(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digits = text.substr(i + 1, 3);
    if (text[i] == '\\' && digits.size() == 3 && std::ranges::all_of(digits, is_octal)) {
      out += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + digits[2] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

std::string size_words(std::uint64_t bytes) {
  const auto size = scaled(bytes);
  return size.number + " " + size_units.at(size.unit) + (size.unit > 0 ? "iB" : "B");
}

std::string short_size(std::uint64_t bytes) {
  const auto size = scaled(bytes);
  return size.number + size_units.at(size.unit);
}

std::string duration_words(std::uint64_t seconds) {
  const auto* first = std::ranges::find_if(units_of_time, [&](const Unit& unit) { return seconds >= unit.seconds; });
  if (first == units_of_time.end()) return "0 s";
  std::string text = std::to_string(seconds / first->seconds) + " " + first->name;
  const auto* second = std::next(first);
  if (second == units_of_time.end()) return text;
  const auto rest = seconds % first->seconds / second->seconds;
  return rest == 0 ? text : text + " " + std::to_string(rest) + " " + second->name;
}

std::string state_words(const std::string& name) {
  const auto* found = std::ranges::find(states, name, &StateWords::name);
  return found == states.end() ? name : found->words;
}

}  // namespace sessionfs::ctl
