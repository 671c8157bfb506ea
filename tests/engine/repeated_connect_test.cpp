// A CONNECT that comes again: its answer was lost, or it was long on its way.
#include <functional>

#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

void expect_not_begun_again(RawHost& t) {
  const State state = t.session->state();
  const ConnId channel = t.session->channel();
  const auto before = encode(t.session->image());
  const ConnId late = t.incoming(t.alice);
  t.feed(late, t.connect_message());
  EXPECT_EQ(t.last<ConnectOk>(late), nullptr);
  EXPECT_TRUE(t.closed(late));
  EXPECT_EQ(t.session->state(), state);
  EXPECT_EQ(t.session->channel(), channel);
  EXPECT_EQ(encode(t.session->image()), before);
  EXPECT_EQ(t.arrivals, 1U);
}

// To begin at 0 again would send bytes twice, or ask for bytes that are gone.
TEST(RepeatedConnect, WhateverTheCreatorHasSaidSinceMakesItLate) {
  const std::function<void(RawHost&, ConnId)> cases[] = {
      [](RawHost& t, ConnId channel) { t.feed_data(channel, 0, "x"); },
      [](RawHost& t, ConnId channel) {
        t.write("x");
        t.feed(channel, Checkpoint{{1, 1 + RawHost::capacity_bytes, false, false}});
      },
      [](RawHost& t, ConnId) { t.feed(t.incoming(t.alice), t.resume_message(1, true)); },
      [](RawHost& t, ConnId channel) { t.feed(channel, Finish{0}); },
  };
  for (const auto& say : cases) {
    RawHost t;
    say(t, t.accept_from_alice());
    ASSERT_EQ(t.session->state(), State::active);
    expect_not_begun_again(t);
    EXPECT_FALSE(t.closed(t.session->channel()));
  }
}

TEST(RepeatedConnect, WhatItsAcceptorHasSuspendedOrLostStaysSo) {
  RawHost suspended;
  (void)suspended.accept_from_alice();
  suspended.write("hello");
  suspended.with([&](Host& host) { host.suspend(*suspended.session, suspended.now); });
  ASSERT_EQ(suspended.session->state(), State::suspended);
  expect_not_begun_again(suspended);

  RawHost lost;
  lost.feed(lost.accept_from_alice(), Abort{});
  ASSERT_EQ(lost.session->state(), State::closed);
  expect_not_begun_again(lost);
}

}  // namespace
}  // namespace sessionfs::test
