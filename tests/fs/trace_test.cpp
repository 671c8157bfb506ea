#include "fs/trace.hpp"

#include <gtest/gtest.h>

#include "tests/sim/memory_store.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::size_t plenty_bytes = 4096;

std::string read(Trace& trace, Trace::Reader& reader, std::size_t max = plenty_bytes) {
  std::string text(trace.offer(reader, max));
  Trace::take(reader, text.size());
  return text;
}

TEST(Trace, ALineSaysAllInOrder) {
  test::MemoryStore store(plenty_bytes);
  SessionImage image;
  image.local = EndpointName::parse("laptop@local").value();
  image.peer = EndpointName::parse("office@local").value();
  image.service = "print";
  image.file_name = "print.office@local";
  image.creator = true;
  const Session session(image, store.make({image.local, image.id, true}), 1, Time{});
  const auto* row = find_transition(State::active, Event::channel_lost);
  const auto when = std::chrono::system_clock::time_point(std::chrono::microseconds(1'767'323'045'000'042));
  EXPECT_EQ(trace_line(session, {*row, 9, 7, 5, 3}, when),
            "2026-01-02T03:04:05.000042Z laptop@local print.office@local T1:channel_lost ACTIVE -> READY_RESUME "
            "sent=9 acked=7 received=5 read=3\n");
}

TEST(Trace, EachReaderGetsWhatComesFromItsOpenOn) {
  Trace trace;
  trace.add("nobody reads\n");
  auto one = trace.open();
  trace.add("a\n");
  auto other = trace.open();
  EXPECT_FALSE(trace.has_more(other));
  trace.add("b\n");
  EXPECT_EQ(read(trace, one), "a\nb\n");
  EXPECT_EQ(read(trace, other), "b\n");
  EXPECT_FALSE(trace.has_more(one));
  EXPECT_EQ(trace.offer(one, plenty_bytes), "");
}

TEST(Trace, WholeLinesWhereOneFits) {
  Trace trace;
  auto reader = trace.open();
  trace.add("first\n");
  trace.add("second\n");
  EXPECT_EQ(read(trace, reader, 8), "first\n");
  EXPECT_EQ(read(trace, reader, 3), "sec");
  EXPECT_EQ(read(trace, reader, 4), "ond\n");
}

TEST(Trace, WhatWasOfferedAndNotTakenIsOfferedAgain) {
  Trace trace;
  auto reader = trace.open();
  trace.add("first\n");
  EXPECT_EQ(trace.offer(reader, plenty_bytes), "first\n");
  trace.add("second\n");
  EXPECT_TRUE(trace.has_more(reader));
  EXPECT_EQ(read(trace, reader), "first\nsecond\n");
}

TEST(Trace, ASlowReaderIsToldWhatItHasLost) {
  Trace trace;
  auto slow = trace.open();
  auto quick = trace.open();
  const std::string line = std::string(max_trace_bytes / 4, 'x') + "\n";  // three are kept
  std::string seen;
  for (int i = 0; i < 5; ++i) {
    trace.add(line);
    seen += read(trace, quick, line.size());
  }
  EXPECT_EQ(seen, line + line + line + line + line);
  EXPECT_EQ(read(trace, slow), "# 2 lines are lost: they were not read in time\n");
  EXPECT_EQ(read(trace, slow, 3 * line.size()), line + line + line);
}

TEST(Trace, NothingIsKeptForNobody) {
  Trace trace;
  const auto first = trace.open();
  trace.add("a\n");
  trace.close(first);
  EXPECT_FALSE(trace.has_readers());
  auto next = trace.open();
  EXPECT_FALSE(trace.has_more(next));
  trace.add("b\n");
  EXPECT_EQ(read(trace, next), "b\n");
}

}  // namespace
}  // namespace sessionfs::fs
