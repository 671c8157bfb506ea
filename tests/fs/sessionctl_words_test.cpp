#include "fs/sessionctl/words.hpp"

#include <gtest/gtest.h>

namespace sessionfs::ctl {
namespace {

TEST(SessionctlWords, WhatATerminalWouldObeyIsEscaped) {
  EXPECT_EQ(printable("a\x1b[2J\x07"), "a\\x1b[2J\\x07");
  EXPECT_EQ(printable("a\r\nb\tc\x7f"), "a\\x0d\\x0ab\\x09c\\x7f");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\xc2\\x9b2J");
}

TEST(SessionctlWords, WhatIsReadStays) {
  EXPECT_EQ(printable("eth0: the fastest"), "eth0: the fastest");
  EXPECT_EQ(printable("K\xc3\xb6ln \xc2\xa0 \xe2\x82\xac"), "K\xc3\xb6ln \xc2\xa0 \xe2\x82\xac");
  EXPECT_EQ(printable("\xc2"), "\xc2");
  EXPECT_EQ(printable("a\nb\r", "\n"), "a\nb\\x0d");
}

TEST(SessionctlWords, Sizes) {
  EXPECT_EQ(size_words("0"), "0 B");
  EXPECT_EQ(size_words("1023"), "1023 B");
  EXPECT_EQ(size_words("1024"), "1.0 KiB");
  EXPECT_EQ(size_words("1536"), "1.5 KiB");
  EXPECT_EQ(size_words("10240"), "10 KiB");
  EXPECT_EQ(size_words("1048575"), "1023 KiB");
  EXPECT_EQ(size_words("1048576"), "1.0 MiB");
  EXPECT_EQ(size_words("18446744073709551615"), "16777215 TiB");
}

TEST(SessionctlWords, WhatIsNoSizeStays) {
  for (const auto* text : {"", "-", "-1", "1k", "many", "18446744073709551616"}) EXPECT_EQ(size_words(text), text);
}

TEST(SessionctlWords, Durations) {
  EXPECT_EQ(duration_words("0s"), "0 s");
  EXPECT_EQ(duration_words("59s"), "59 s");
  EXPECT_EQ(duration_words("60s"), "1 min");
  EXPECT_EQ(duration_words("192s"), "3 min 12 s");
  EXPECT_EQ(duration_words("3605s"), "1 h");
  EXPECT_EQ(duration_words("7500s"), "2 h 5 min");
  EXPECT_EQ(duration_words("90000s"), "1 d 1 h");
}

TEST(SessionctlWords, WhatIsNoDurationStays) {
  for (const auto* text : {"", "s", "-", "12", "-3s", "1ms", "99999999999999999999s"})
    EXPECT_EQ(duration_words(text), text);
}

TEST(SessionctlWords, States) {
  EXPECT_EQ(state_words("ACTIVE"), "active");
  EXPECT_EQ(state_words("READY_RESUME"), "interrupted");
  EXPECT_EQ(state_words("SENT_RESUME"), "resuming");
  EXPECT_EQ(state_words("OF_A_LATER_VERSION"), "OF_A_LATER_VERSION");
}

}  // namespace
}  // namespace sessionfs::ctl
