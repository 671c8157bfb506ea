#include "engine/recv_buffer.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/engine/text.hpp"
#include "tests/sim/memory_store.hpp"
#include "tests/sim/random.hpp"

namespace sessionfs::test {
namespace {

using Taken = RecvBuffer::Taken;

TEST(RecvBuffer, GivesWhatIsHeldAndNothingElse) {
  RecvBuffer buffer(std::make_unique<HeapMemory>(8));
  EXPECT_EQ(buffer.limit(), 8U);
  EXPECT_EQ(buffer.accept(0, bytes_of("01234")), Taken::ok);
  EXPECT_EQ(buffer.readable_bytes(), 0U);
  buffer.hold(3);
  EXPECT_EQ(text_of(buffer.readable(100)), "012");
  EXPECT_EQ(text_of(buffer.readable(2)), "01");
  buffer.hold(2);
  EXPECT_EQ(buffer.held(), 3U) << "it only grows";
  buffer.hold(100);
  EXPECT_EQ(buffer.held(), 5U) << "not beyond what has come";
  buffer.consume(2);
  EXPECT_EQ(buffer.limit(), 10U);
  EXPECT_EQ(text_of(buffer.readable(100)), "234");
}

TEST(RecvBuffer, SkipsWhatItHas) {
  RecvBuffer buffer(std::make_unique<HeapMemory>(8));
  EXPECT_EQ(buffer.accept(0, bytes_of("0123")), Taken::ok);
  EXPECT_EQ(buffer.accept(0, bytes_of("01")), Taken::ok);
  EXPECT_EQ(buffer.accept(2, bytes_of("2345")), Taken::ok);
  EXPECT_EQ(buffer.received(), 6U);
  buffer.hold(6);
  EXPECT_EQ(text_of(buffer.readable(100)), "012345");
}

TEST(RecvBuffer, RefusesHolesAndWhatIsBeyondTheLimit) {
  RecvBuffer buffer(std::make_unique<HeapMemory>(8));
  EXPECT_EQ(buffer.accept(1, bytes_of("1")), Taken::hole);
  EXPECT_EQ(buffer.accept(UINT64_MAX, bytes_of("1")), Taken::hole);
  EXPECT_EQ(buffer.accept(0, bytes_of("012345678")), Taken::beyond_limit);
  EXPECT_EQ(buffer.received(), 0U);
  EXPECT_EQ(buffer.accept(0, bytes_of("01234567")), Taken::ok);
  EXPECT_EQ(buffer.accept(8, bytes_of("8")), Taken::beyond_limit);
  EXPECT_EQ(buffer.accept(4, bytes_of("45678")), Taken::beyond_limit);
}

TEST(RecvBuffer, WithoutRoomSaysSo) {
  const auto full = std::make_shared<bool>(true);
  RecvBuffer buffer(std::make_unique<test::KeptMemory>(std::make_shared<test::Bytes>(64), full));
  EXPECT_EQ(buffer.accept(0, bytes_of("0123")), Taken::no_room);
  EXPECT_EQ(buffer.received(), 0U);
  *full = false;
  EXPECT_EQ(buffer.accept(0, bytes_of("0123")), Taken::ok);
}

RC_GTEST_PROP(RecvBuffer, IsAWindowOverAnEndlessStream, ()) {
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 50);
  const auto kept = std::make_shared<test::Bytes>(capacity);
  const auto full = std::make_shared<bool>(false);
  auto buffer = std::make_unique<RecvBuffer>(std::make_unique<test::KeptMemory>(kept, full));
  std::uint64_t read = 0, held = 0, received = 0;
  const auto within = [](std::uint64_t low, std::uint64_t high) { return *rc::gen::inRange(low, high + 1); };
  const auto steps = *rc::gen::inRange(1, 80);
  for (int step = 0; step < steps; ++step) {
    switch (*rc::gen::inRange(0, 5)) {
      case 0: {
        const auto offset = within(received > 10 ? received - 10 : 0, received + 2);
        test::Bytes data(within(0, 60));
        for (std::size_t i = 0; i < data.size(); ++i) data[i] = stream_byte(0, offset + i);
        const std::uint64_t end = offset + data.size();
        const Taken expected = offset > received       ? Taken::hole
                               : end > read + capacity ? Taken::beyond_limit
                                                       : Taken::ok;
        RC_ASSERT(buffer->accept(offset, data) == expected);
        if (expected == Taken::ok) received = std::max(received, end);
        break;
      }
      case 1: {
        const auto to = within(0, received + 5);
        buffer->hold(to);
        held = std::max(held, std::min(to, received));
        break;
      }
      case 2: {
        const Parts parts = buffer->readable(within(0, 60));
        std::uint64_t at = read;
        for (const auto& part : parts)
          for (const auto byte : part) RC_ASSERT(byte == stream_byte(0, at++));
        RC_ASSERT(at <= held);
        const auto count = within(0, at - read);
        buffer->consume(count);
        read += count;
        break;
      }
      case 3:
        // What was received and not held is gone.
        buffer = std::make_unique<RecvBuffer>(std::make_unique<test::KeptMemory>(kept, full), buffer->position());
        received = held;
        break;
      default:
        buffer->trim();
    }
    RC_ASSERT(buffer->read() == read && buffer->held() == held && buffer->received() == received);
    RC_ASSERT(buffer->limit() == read + capacity);
    RC_ASSERT(buffer->readable_bytes() == held - read);
  }
}

}  // namespace
}  // namespace sessionfs::test
