#include "fs/sessionctl/top/line.hpp"

#include <gtest/gtest.h>

namespace sessionfs::ctl {
namespace {

std::string text_of(const Line& line) {
  std::string text;
  for (const auto& segment : line) text += segment.text;
  return text;
}

TEST(SessionctlTopLine, WidthsAreCharacters) {
  EXPECT_EQ(width(""), 0U);
  EXPECT_EQ(width("ab\u2026\u2500"), 4U);
  EXPECT_EQ(width(Line{{"ab"}, {"\u2026"}}), 3U);
}

TEST(SessionctlTopLine, NothingThatATerminalObeys) {
  EXPECT_EQ(shown("a\x1b[2J"), "a\\x1b[2J");
  EXPECT_EQ(shown("K\u00f6ln\xff"), "K?ln?");
}

TEST(SessionctlTopLine, TextsAreCut) {
  EXPECT_EQ(cut("abc", 3, ascii_signs), "abc");
  EXPECT_EQ(cut("abcdef", 4, ascii_signs), "abc~");
  EXPECT_EQ(cut("abcdef", 4, utf8_signs), "abc\u2026");
  EXPECT_EQ(cut("file~bob@verkstad.net~1", 12, ascii_signs, Cut::middle), "file~bob~t~1");
  for (std::size_t columns = 0; columns < 30; ++columns)
    for (const auto where : {Cut::end, Cut::middle})
      EXPECT_LE(width(cut("file~bob@verkstad.net~1", columns, utf8_signs, where)), columns);
}

TEST(SessionctlTopLine, LinesAreCut) {
  const Line line{{"ab", Style::good}, {"cd", Style::bad}};
  EXPECT_EQ(text_of(cut(line, 4, ascii_signs)), "abcd");
  EXPECT_EQ(text_of(cut(line, 3, ascii_signs)), "ab~");
  EXPECT_EQ(text_of(cut(line, 1, ascii_signs)), "~");
  EXPECT_EQ(text_of(cut(line, 0, ascii_signs)), "");
  EXPECT_EQ(text_of(cut(Line{{"a\u2500\u2500b"}}, 3, utf8_signs)), "a\u2500\u2026");
  EXPECT_EQ(cut(line, 4, ascii_signs)[1].style, Style::bad);
}

TEST(SessionctlTopLine, TheRightEdgeIsForWhatFits) {
  EXPECT_EQ(text_of(spread({{"left"}}, {{"right"}}, 12, ascii_signs)), "left   right");
  EXPECT_EQ(text_of(spread({{"left"}}, {{"right"}}, 10, ascii_signs)), "left");
  EXPECT_EQ(text_of(spread({{"left"}}, {{"right"}}, 3, ascii_signs)), "le~");
}

}  // namespace
}  // namespace sessionfs::ctl
