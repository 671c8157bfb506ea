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
  EXPECT_EQ(size_words(0), "0 B");
  EXPECT_EQ(size_words(1023), "1023 B");
  EXPECT_EQ(size_words(1024), "1.0 KiB");
  EXPECT_EQ(size_words(1536), "1.5 KiB");
  EXPECT_EQ(size_words(10240), "10 KiB");
  EXPECT_EQ(size_words(1048575), "1023 KiB");
  EXPECT_EQ(size_words(1048576), "1.0 MiB");
  EXPECT_EQ(size_words(UINT64_MAX), "15 EiB");
}

TEST(SessionctlWords, ShortSizes) {
  EXPECT_EQ(short_size(0), "0");
  EXPECT_EQ(short_size(1023), "1023");
  EXPECT_EQ(short_size(1536), "1.5K");
  EXPECT_EQ(short_size(10239), "9.9K");
  EXPECT_EQ(short_size(1048575), "1023K");
  EXPECT_EQ(short_size(UINT64_MAX), "15E");
}

TEST(SessionctlWords, Durations) {
  EXPECT_EQ(duration_words(0), "0 s");
  EXPECT_EQ(duration_words(59), "59 s");
  EXPECT_EQ(duration_words(60), "1 min");
  EXPECT_EQ(duration_words(192), "3 min 12 s");
  EXPECT_EQ(duration_words(3605), "1 h");
  EXPECT_EQ(duration_words(7500), "2 h 5 min");
  EXPECT_EQ(duration_words(90000), "1 d 1 h");
}

TEST(SessionctlWords, Numbers) {
  EXPECT_EQ(number_of("0"), 0U);
  EXPECT_EQ(number_of("18446744073709551615"), UINT64_MAX);
  for (const auto* text : {"", "-", "-1", "+1", "1k", " 1", "many", "18446744073709551616"})
    EXPECT_FALSE(number_of(text)) << text;
}

TEST(SessionctlWords, OctalDigits) {
  EXPECT_EQ(unescaped("a\\040b\\134c"), "a b\\c");
  for (const auto* text : {"", "a", "\\", "\\04", "\\048", "\\x20"}) EXPECT_EQ(unescaped(text), text);
}

TEST(SessionctlWords, States) {
  EXPECT_EQ(state_words("ACTIVE"), "active");
  EXPECT_EQ(state_words("READY_RESUME"), "interrupted");
  EXPECT_EQ(state_words("SENT_RESUME"), "resuming");
  EXPECT_EQ(state_words("OF_A_LATER_VERSION"), "OF_A_LATER_VERSION");
}

}  // namespace
}  // namespace sessionfs::ctl
