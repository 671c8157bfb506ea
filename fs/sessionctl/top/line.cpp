#include "fs/sessionctl/top/line.hpp"

#include <algorithm>
#include <numeric>

#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

// The first `columns` characters.
std::string head_of(const std::string& utf8, std::size_t columns) {
  std::size_t at = 0;
  for (std::size_t seen = 0; at < utf8.size(); ++at)
    if ((static_cast<unsigned char>(utf8[at]) & 0xc0U) != 0x80U && seen++ == columns) break;
  return utf8.substr(0, at);
}

}  // namespace

std::size_t width(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::ranges::count_if(utf8, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::size_t width(const Line& line) {
  return std::accumulate(line.begin(), line.end(), std::size_t{0},
                         [](std::size_t sum, const Segment& segment) { return sum + width(segment.text); });
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else if ((byte & 0xc0U) != 0x80U) {
      out += '?';
    }
  }
  return out;
}

std::string cut(const std::string& text, std::size_t columns, const Signs& signs, Cut where) {
  if (text.size() <= columns) return text;
  if (columns == 0) return "";
  // The end of a name tells it from others of its kind.
  const std::size_t tail = where == Cut::middle ? (columns - 1) / 3 : 0;
  return text.substr(0, columns - 1 - tail) + signs.cut + text.substr(text.size() - tail);
}

Line cut(const Line& line, std::size_t columns, const Signs& signs) {
  if (width(line) <= columns) return line;
  Line kept;
  std::size_t room = columns == 0 ? 0 : columns - 1;
  for (const auto& segment : line) {
    kept.push_back({head_of(segment.text, room), segment.style});
    room -= width(kept.back().text);
    if (room == 0) break;
  }
  if (columns > 0) kept.push_back({signs.cut, kept.back().style});
  return kept;
}

Line spread(Line left, const Line& right, std::size_t columns, const Signs& signs) {
  constexpr std::size_t gap = 2;
  if (width(left) + gap + width(right) > columns) return cut(left, columns, signs);
  left.push_back({std::string(columns - width(left) - width(right), ' ')});
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

}  // namespace sessionfs::ctl
