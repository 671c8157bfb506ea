// What a session gives back when it is idle, and what it takes no more.
#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

constexpr std::size_t large_bytes = 64 * 1024;
constexpr std::size_t much = 20000;  // more than an empty ring keeps
static_assert(much > Ring::kept_when_empty_bytes && much < large_bytes);

class Trimmed : public testing::Test {
 protected:
  Trimmed() {
    t.store = MemoryStore(large_bytes);
    channel = t.accept_from_alice();
  }
  void receive() {
    t.feed_data(channel, 0, std::string(much, 'x'));
    std::size_t got = 0;
    while (const auto count = t.read().size()) got += count;
    ASSERT_EQ(got, much);
  }
  void send() {
    ASSERT_EQ(t.write(std::string(much, 'y')), much);
    t.feed(channel, Checkpoint{{0, much + large_bytes, false, false}});
    t.feed(channel, Checkpoint{{much, much + large_bytes, false, false}});
  }
  // What was released reads as zeros in this store.
  [[nodiscard]] bool keeps_what_was_sent() const { return memories().send->bytes()[0] != std::byte{0}; }
  [[nodiscard]] bool keeps_what_was_received() const { return memories().receive->bytes()[0] != std::byte{0}; }
  [[nodiscard]] Session::Memories memories() const {
    return const_cast<MemoryStore&>(t.store).memories({t.bob, t.id, false});
  }
  void expect_the_stream_goes_on(std::uint64_t received, std::uint64_t sent) {
    ASSERT_EQ(t.session->state(), State::active);
    t.feed_data(channel, received, "more");
    EXPECT_EQ(t.read(), "more");
    t.conns[channel].data.clear();
    EXPECT_EQ(t.write("more"), 4U);
    EXPECT_EQ(t.conns[channel].data, "more");
    EXPECT_EQ(t.conns[channel].data_offset, sent);
    const auto image = t.store.load({t.bob, t.id, false});
    ASSERT_TRUE(image);
    const auto again = Session::restore(*image, memories(), 1, t.now);
    EXPECT_EQ(again->send_buffer().written(), sent + 4);
    EXPECT_EQ(again->recv_buffer().read(), received + 4);
  }

  RawHost t;
  ConnId channel = 0;
};

TEST_F(Trimmed, WhatWasReceivedAndReadIsGivenBackAtTheHeartbeat) {
  receive();
  ASSERT_TRUE(keeps_what_was_received());
  t.advance(2 * heartbeat_interval);
  EXPECT_FALSE(keeps_what_was_received());
  expect_the_stream_goes_on(much, 0);
}

TEST_F(Trimmed, WhatThePeerHoldsIsGivenBackAtTheHeartbeat) {
  send();
  ASSERT_TRUE(keeps_what_was_sent());
  t.advance(2 * heartbeat_interval);
  EXPECT_FALSE(keeps_what_was_sent());
  expect_the_stream_goes_on(0, much);
}

TEST_F(Trimmed, BothAtOnce) {
  receive();
  send();
  t.advance(2 * heartbeat_interval);
  EXPECT_FALSE(keeps_what_was_sent());
  EXPECT_FALSE(keeps_what_was_received());
  expect_the_stream_goes_on(much, much);
}

TEST_F(Trimmed, WhatIsNotReadOrNotHeldStays) {
  t.feed_data(channel, 0, std::string(much, 'x'));
  ASSERT_EQ(t.write(std::string(much, 'y')), much);
  const Duration bit = heartbeat_interval / 4;
  for (int i = 0; i < 8; ++i) {
    t.feed(channel, Checkpoint{{0, 4096, false, false}});  // somebody is there
    t.advance(bit);
  }
  EXPECT_TRUE(keeps_what_was_sent());
  EXPECT_TRUE(keeps_what_was_received());
}

TEST(Ended, ALostSessionTakesNoMore) {
  RawHost t;
  t.feed(t.accept_from_alice(), Abort{});
  ASSERT_EQ(t.session->failure(), Failure::lost);
  EXPECT_FALSE(t.session->write_ended());
  EXPECT_EQ(t.write("too late"), 0U);
}

TEST(Ended, AnEndIsHeldWhereItWasSaidAndNowhereElse) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("hello");
  t.with([&](Host& host) { host.finish(*t.session, t.now); });
  t.feed(channel, Checkpoint{{3, 3 + RawHost::capacity_bytes, true, false}});
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.session->state(), State::ready_resume);
}

// The peer has held the FINISH for long, and has its time anew to hold the CLOSE.
TEST(Ended, AClosingAfterAFinishLeavesThePeerTimeToAnswer) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.with([&](Host& host) { host.finish(*t.session, t.now); });
  t.feed(channel, Checkpoint{{0, RawHost::capacity_bytes, true, false}});
  t.advance(unacked_silence_limit + std::chrono::milliseconds(500));
  ASSERT_FALSE(t.closed(channel));
  t.with([&](Host& host) { host.close(*t.session, t.now); });
  t.advance(unacked_silence_limit / 2);
  EXPECT_FALSE(t.closed(channel));
  EXPECT_EQ(t.session->state(), State::active);
}

TEST(Ended, OtherConnectionsSayNothingToASession) {
  RawHost t;
  (void)t.accept_from_alice();
  const auto image = t.session->image();
  const auto session = Session::restore(image, t.store.memories({t.bob, t.id, false}), 1, t.now);
  const auto before = encode(session->image());
  constexpr ConnId other = 99;
  session->handle_dialled(other, t.now);
  session->handle_dial_failed(other, DialFailure::unreachable, t.now);
  session->handle_closed(other, t.now);
  EXPECT_TRUE(session->handle_message(other, Ping{}, t.now));
  EXPECT_FALSE(session->wants_transmit(other));
  EXPECT_EQ(session->state(), State::ready_resume);
  EXPECT_EQ(session->last_transition(), 0);
  EXPECT_EQ(encode(session->image()), before);
}

}  // namespace
}  // namespace sessionfs::test
