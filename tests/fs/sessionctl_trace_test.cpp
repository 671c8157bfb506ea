#include "fs/sessionctl/trace.hpp"

#include <gtest/gtest.h>

namespace sessionfs::ctl {
namespace {

constexpr const char* line =
    "2026-01-02T03:04:05.000042Z laptop@local s.b@local T1:channel_lost ACTIVE -> READY_RESUME";

TEST(SessionctlTrace, WhoseTransitions) {
  EXPECT_TRUE(TraceChoice{}.has(line));
  EXPECT_TRUE((TraceChoice{"s.b@local", std::nullopt}).has(line));
  EXPECT_TRUE((TraceChoice{"s.b@local", "laptop@local"}).has(line));
  EXPECT_TRUE((TraceChoice{std::nullopt, "laptop@local"}).has(line));
  EXPECT_FALSE((TraceChoice{std::nullopt, "b@local"}).has(line));
  EXPECT_FALSE((TraceChoice{"s.b@local", "b@local"}).has(line));
  EXPECT_FALSE((TraceChoice{"laptop@local", std::nullopt}).has(line));
}

TEST(SessionctlTrace, ThatLinesAreLostConcernsEverybody) {
  EXPECT_TRUE((TraceChoice{"s.b@local", "laptop@local"}).has("# 2 lines are lost: they were not read in time"));
}

TEST(SessionctlTrace, WhatIsNoLineOfATransitionIsNobodys) {
  for (const auto* other : {"", " ", "a", "a b", "a b "}) EXPECT_FALSE((TraceChoice{"s", "e"}).has(other)) << other;
}

}  // namespace
}  // namespace sessionfs::ctl
