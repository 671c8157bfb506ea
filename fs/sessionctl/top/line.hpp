// A line of a terminal, as text in styles, without a terminal. A character is one column wide.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sessionfs::ctl {

enum class Style { plain, strong, faint, good, notice, bad, heading, selected };

struct Segment {
  std::string text;
  Style style = Style::plain;
};

using Line = std::vector<Segment>;

/// Signs that not every terminal has.
struct Signs {
  std::string cut;   // where a text was cut
  std::string rule;  // of a horizontal line
  std::string arrows;
};
inline const Signs utf8_signs{"\u2026", "\u2500", "\u2191\u2193"};
inline const Signs ascii_signs{"~", "-", "jk"};

/// Columns.
std::size_t width(std::string_view utf8);
std::size_t width(const Line& line);

/// `text` in ASCII and without anything that a terminal would obey: what cannot be shown is a question mark.
std::string shown(std::string_view text);

enum class Cut { end, middle };

/// ASCII `text` in at most `columns`.
std::string cut(const std::string& text, std::size_t columns, const Signs& signs, Cut where = Cut::end);

/// `line` cut to `columns`, the sign for it where it was.
Line cut(const Line& line, std::size_t columns, const Signs& signs);

/// `left`, and `right` at the right edge if there is room for both.
Line spread(Line left, const Line& right, std::size_t columns, const Signs& signs);

}  // namespace sessionfs::ctl
