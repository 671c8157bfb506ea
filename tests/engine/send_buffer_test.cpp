#include "engine/send_buffer.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/engine/text.hpp"
#include "tests/sim/memory_store.hpp"
#include "tests/sim/random.hpp"

namespace sessionfs::test {
namespace {

TEST(SendBuffer, SendsUpToTheLimitAndFreesWhatIsHeld) {
  SendBuffer buffer(std::make_unique<HeapMemory>(8));
  EXPECT_EQ(buffer.write(bytes_of("0123456789")), 8U);
  EXPECT_FALSE(buffer.has_unsent()) << "the peer has not said what it takes";
  EXPECT_EQ(buffer.poll_transmit(100).size(), 0U);
  ASSERT_TRUE(buffer.acknowledge(0, 5));
  auto chunk = buffer.poll_transmit(3);
  EXPECT_EQ(chunk.offset, 0U);
  EXPECT_EQ(text_of(chunk.parts), "012");
  EXPECT_EQ(text_of(buffer.poll_transmit(100).parts), "34");
  EXPECT_FALSE(buffer.has_unsent());
  ASSERT_TRUE(buffer.acknowledge(4, 12));
  EXPECT_EQ(buffer.space(), 4U);
  EXPECT_EQ(buffer.write(bytes_of("89abcdef")), 4U);
  chunk = buffer.poll_transmit(100);
  EXPECT_EQ(chunk.offset, 5U);
  EXPECT_EQ(text_of(chunk.parts), "56789ab");
}

TEST(SendBuffer, AnOldAcknowledgementChangesNothingAndOneOfTheFutureIsAViolation) {
  SendBuffer buffer(std::make_unique<HeapMemory>(8));
  (void)buffer.write(bytes_of("01234567"));
  ASSERT_TRUE(buffer.acknowledge(0, 6));
  (void)buffer.poll_transmit(100);
  ASSERT_TRUE(buffer.acknowledge(4, 7));
  EXPECT_TRUE(buffer.acknowledge(2, 5));
  EXPECT_EQ(buffer.acked(), 4U);
  EXPECT_EQ(buffer.limit(), 7U);
  EXPECT_FALSE(buffer.acknowledge(buffer.written() + 1, 100)) << "so many were never written";
  EXPECT_FALSE(buffer.acknowledge(6, 5)) << "beyond what it takes";
  EXPECT_EQ(buffer.acked(), 4U);
}

TEST(SendBuffer, WhatAnEarlierConnectionHasBroughtIsNotSentAgain) {
  SendBuffer buffer(std::make_unique<HeapMemory>(8));
  (void)buffer.write(bytes_of("01234567"));
  ASSERT_TRUE(buffer.acknowledge(0, 8));
  (void)buffer.poll_transmit(6);
  ASSERT_TRUE(buffer.rewind(2, 8));
  ASSERT_TRUE(buffer.acknowledge(5, 8)) << "stored by the peer after it had asked to go on from 2";
  const auto chunk = buffer.poll_transmit(100);
  EXPECT_EQ(chunk.offset, 5U);
  EXPECT_EQ(text_of(chunk.parts), "567");
}

TEST(SendBuffer, RewindsToAnythingThatIsNotGone) {
  SendBuffer buffer(std::make_unique<HeapMemory>(8));
  (void)buffer.write(bytes_of("01234567"));
  ASSERT_TRUE(buffer.acknowledge(0, 8));
  (void)buffer.poll_transmit(100);
  ASSERT_TRUE(buffer.acknowledge(3, 8));
  EXPECT_FALSE(buffer.rewind(2, 8)) << "gone";
  EXPECT_FALSE(buffer.rewind(9, 17)) << "never written";
  EXPECT_EQ(buffer.sent(), 8U);
  ASSERT_TRUE(buffer.rewind(5, 7));
  EXPECT_EQ(buffer.acked(), 5U);
  EXPECT_EQ(buffer.limit(), 7U) << "the limit of the new connection, though it be lower";
  const auto chunk = buffer.poll_transmit(100);
  EXPECT_EQ(chunk.offset, 5U);
  EXPECT_EQ(text_of(chunk.parts), "56");
}

TEST(SendBuffer, CountsWhatIsSentAgain) {
  SendBuffer buffer(std::make_unique<HeapMemory>(8));
  (void)buffer.write(bytes_of("01234567"));
  ASSERT_TRUE(buffer.rewind(0, 6));
  (void)buffer.poll_transmit(100);
  EXPECT_EQ(buffer.resent(), 0U);
  ASSERT_TRUE(buffer.rewind(2, 5));
  EXPECT_EQ(buffer.resent(), 4U) << "from 2 to 6, where the former connection was";
  (void)buffer.poll_transmit(1);
  ASSERT_TRUE(buffer.rewind(2, 8));
  EXPECT_EQ(buffer.resent(), 5U);
  ASSERT_TRUE(buffer.rewind(7, 8));
  EXPECT_EQ(buffer.resent(), 5U) << "held without having been sent here";
}

TEST(SendBuffer, GoesOnFromAStoredPosition) {
  const auto kept = std::make_shared<test::Bytes>(8);
  const auto full = std::make_shared<bool>(false);
  SendBuffer first(std::make_unique<test::KeptMemory>(kept, full));
  (void)first.write(bytes_of("01234567"));
  ASSERT_TRUE(first.acknowledge(0, 8));
  (void)first.poll_transmit(100);
  ASSERT_TRUE(first.acknowledge(6, 14));
  (void)first.write(bytes_of("89ab"));
  SendBuffer second(std::make_unique<test::KeptMemory>(kept, full), first.position());
  EXPECT_EQ(second.acked(), 6U);
  EXPECT_EQ(second.sent(), 6U);
  EXPECT_EQ(second.written(), 12U);
  ASSERT_TRUE(second.rewind(7, 15));
  EXPECT_EQ(text_of(second.poll_transmit(100).parts), "789ab");
}

// Against the plain truth: byte i of the stream is stream_byte(0, i), and the buffer is four numbers.
RC_GTEST_PROP(SendBuffer, IsAWindowOverAnEndlessStream, ()) {
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 50);
  const auto kept = std::make_shared<test::Bytes>(capacity);
  const auto full = std::make_shared<bool>(false);
  auto buffer = std::make_unique<SendBuffer>(std::make_unique<test::KeptMemory>(kept, full));
  std::uint64_t acked = 0, sent = 0, written = 0, limit = 0;
  const auto within = [](std::uint64_t low, std::uint64_t high) { return *rc::gen::inRange(low, high + 1); };
  const auto steps = *rc::gen::inRange(1, 80);
  for (int step = 0; step < steps; ++step) {
    switch (*rc::gen::inRange(0, 6)) {
      case 0: {
        test::Bytes data(*rc::gen::inRange<std::size_t>(0, 60));
        for (std::size_t i = 0; i < data.size(); ++i) data[i] = stream_byte(0, written + i);
        const std::size_t taken = buffer->write(data);
        RC_ASSERT(taken == std::min<std::uint64_t>(data.size(), capacity - (written - acked)));
        written += taken;
        break;
      }
      case 1: {
        const auto chunk = buffer->poll_transmit(*rc::gen::inRange<std::size_t>(1, 70));
        RC_ASSERT(chunk.size() == 0 || chunk.offset == sent);
        std::uint64_t at = chunk.offset;
        for (const auto& part : chunk.parts)
          for (const auto byte : part) RC_ASSERT(byte == stream_byte(0, at++));
        sent += chunk.size();
        break;
      }
      case 2: {
        const auto held = within(0, written), to = held + within(0, 20);
        RC_ASSERT(buffer->acknowledge(held, to));
        acked = std::max(acked, held);
        sent = std::max(sent, held);
        limit = std::max(limit, to);
        break;
      }
      case 3: {
        const auto held = within(0, written + 5);
        const auto to = held + within(0, 20);
        const bool possible = held >= acked && held <= written;
        RC_ASSERT(buffer->rewind(held, to) == possible);
        if (possible) acked = sent = held, limit = to;
        break;
      }
      case 4:
        buffer = std::make_unique<SendBuffer>(std::make_unique<test::KeptMemory>(kept, full), buffer->position());
        sent = limit = acked;
        break;
      default:
        buffer->trim();
    }
    RC_ASSERT(buffer->acked() == acked && buffer->sent() == sent && buffer->written() == written &&
              buffer->limit() == limit);
    RC_ASSERT(buffer->has_unsent() == (sent < std::min(written, limit)));
    RC_ASSERT(sent <= std::max(limit, sent) && acked <= sent && sent <= written);
  }
}

}  // namespace
}  // namespace sessionfs::test
