// The words of backup.hpp's text, for its two halves.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sessionfs::sns {

inline constexpr std::string_view backup_format = "sessionfs-names";
inline constexpr std::string_view certificate_line = "authority certificate";
inline constexpr std::string_view key_line = "authority key";
inline constexpr std::string_view end_line = "end";

template <std::size_t Size>
std::string to_hex(const std::array<std::byte, Size>& bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(2 * Size, '0');
  for (std::size_t i = 0; i < Size; ++i) {
    text[2 * i] = digits[std::to_integer<std::size_t>(bytes[i] >> 4)];
    text[2 * i + 1] = digits[std::to_integer<std::size_t>(bytes[i] & std::byte{15})];
  }
  return text;
}

/// Nothing when `text` is not two hexadecimal digits for each byte.
template <std::size_t Size>
std::optional<std::array<std::byte, Size>> from_hex(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  std::array<std::byte, Size> bytes{};
  if (text.size() != 2 * Size) return std::nullopt;
  for (std::size_t i = 0; i < Size; ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes[i] = static_cast<std::byte>(16 * high + low);
  }
  return bytes;
}

/// A decimal number; nothing when `text` is something else, or above `max`.
template <class Number>
std::optional<Number> parse_number(std::string_view text, Number max = std::numeric_limits<Number>::max()) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || number > max) return std::nullopt;
  return number;
}

/// What is wrong with a line; read_backup() adds which line it is.
class BadLine : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a person has written, in quotes, on one line and with no more than can be read.
std::string quoted(std::string_view text);

/// A text's lines.
class BackupLines {
 public:
  /// `read` is that of read_backup(), and must live as long.
  explicit BackupLines(const std::function<std::size_t(std::span<char>)>& read);
  /// The next line without its end, until the next call; nothing at the text's end. Throws BadLine when it is longer
  /// than max_backup_line_bytes.
  std::optional<std::string_view> next();
  /// Of the last line, from 1.
  [[nodiscard]] std::size_t number() const { return number_; }

 private:
  [[noreturn]] static void too_long();
  const std::function<std::size_t(std::span<char>)>& read_;
  std::vector<char> room_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  std::size_t number_ = 0;
  bool ended_ = false;
};

/// A line, taken apart from left to right.
class BackupWords {
 public:
  explicit BackupWords(std::string_view line) : rest_(line) { skip_spaces(); }

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  /// The next word; empty at the end.
  std::string_view word() {
    const auto word = rest_.substr(0, rest_.find_first_of(" \t"));
    rest_.remove_prefix(word.size());
    skip_spaces();
    return word;
  }
  struct Field {
    std::string_view name;
    std::string_view value;
  };
  /// The next word, as NAME=VALUE.
  Field field() {
    const auto both = word();
    const auto middle = both.find('=');
    if (middle == std::string_view::npos) throw BadLine(quoted(both) + " is no NAME=VALUE");
    return {both.substr(0, middle), both.substr(middle + 1)};
  }

 private:
  void skip_spaces() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }
  std::string_view rest_;
};

/// One field of a line, that may be there once.
template <class Value>
class BackupField {
 public:
  explicit BackupField(std::string_view name) : name_(name) {}
  [[nodiscard]] bool is(const BackupWords::Field& field) const { return field.name == name_; }
  /// Throws BadLine when it was set before, or when `value` is nothing: it is no `what` then.
  void set(const BackupWords::Field& field, const std::optional<Value>& value, std::string_view what) {
    if (is_set_) throw BadLine("it has '" + std::string(name_) + "' twice");
    if (!value) throw BadLine(quoted(field.value) + " is no " + std::string(what));
    value_ = *value;
    is_set_ = true;
  }
  [[nodiscard]] std::optional<Value> optional() const { return is_set_ ? std::optional(value_) : std::nullopt; }
  /// Throws BadLine when it is not there.
  [[nodiscard]] const Value& required() const {
    if (!is_set_) throw BadLine("it has no '" + std::string(name_) + "='");
    return value_;
  }

 private:
  std::string_view name_;
  Value value_{};
  bool is_set_ = false;
};

}  // namespace sessionfs::sns
