// A session goes over to a better link while the one that it has carries on; the peer is played by hand.
#include "engine/session.hpp"
#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BetterLink : public ::testing::Test {
 protected:
  void better(std::string_view link = "eth1") {
    t.with([&](Host& host) { host.handle_path(*t.session, link, t.now); });
  }
  void best() { better(""); }
  /// Bob's RESUME is on its way on the connection returned.
  ConnId move() {
    better();
    const ConnId conn = t.answer_dial();
    EXPECT_EQ(t.session->state(), State::moving);
    return conn;
  }
  [[nodiscard]] ResumeOk answer(std::uint64_t held) const {
    return {7, 0, {held, held + RawHost::capacity_bytes, false, false}};
  }
  void channel_carries(ConnId channel) {
    EXPECT_EQ(t.session->channel(), channel);
    EXPECT_FALSE(t.closed(channel));
    const auto offset = t.session->recv_buffer().received();
    t.feed_data(channel, offset, "more");
    EXPECT_EQ(t.session->recv_buffer().received(), offset + 4);
  }

  RawHost t;
  ConnId channel = t.accept_from_alice();
};

TEST_F(BetterLink, TheChannelCarriesOnUntilTheAnswer) {
  better();
  ASSERT_EQ(t.dials.size(), 1U);
  EXPECT_EQ(t.session->state(), State::active);
  channel_carries(channel);
  const ConnId next = t.answer_dial();
  const auto* resume = t.last<Resume>(next);
  ASSERT_NE(resume, nullptr);
  EXPECT_EQ(resume->progress.held, 4U);
  EXPECT_EQ(t.write("hello"), 5U);
  EXPECT_EQ(t.conns[channel].data, "hello");
  channel_carries(channel);
  t.feed(next, answer(3));
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.session->channel(), next);
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.conns[next].data, "lo") << "what the peer did not hold is sent again";
  t.feed_data(next, 4, "more, twice");
  EXPECT_EQ(t.session->recv_buffer().received(), 15U) << "what the old channel has brought counts once";
}

// The peer frees what is confirmed; a RESUME that says less, and comes later, would be taken for a gap.
TEST_F(BetterLink, NothingIsConfirmedBesideTheResume) {
  const ConnId next = move();
  const auto before = t.count<Checkpoint>(channel);
  t.feed_data(channel, 0, std::string(RawHost::capacity_bytes, 'x'));
  t.feed(channel, Ping{});
  t.advance(move_timeout - milliseconds(1));
  EXPECT_EQ(t.count<Checkpoint>(channel), before);
  t.feed(next, ResumeDenied{ResumeDenial::collision, 0, 0, 7});
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_GT(t.count<Checkpoint>(channel), before) << "now that the peer has refused it";
}

TEST_F(BetterLink, WhereItIsRefusedTheChannelStaysAndItIsTriedAgainLater) {
  for (const auto reason : {ResumeDenial::suspended, ResumeDenial::collision, ResumeDenial::not_here,
                            ResumeDenial::stale, ResumeDenial::version}) {
    const auto dials = t.dials.size();
    better();
    if (t.dials.size() == dials) (void)t.answer_next_dial();
    const ConnId next = t.session->state() == State::moving ? t.session->attempt_conn() : t.answer_dial();
    t.feed(next, ResumeDenied{reason, 0, 0, 7});
    EXPECT_EQ(t.session->state(), State::active);
    EXPECT_TRUE(t.closed(next));
    channel_carries(channel);
    better();
    EXPECT_EQ(t.session->attempt_conn(), 0U) << "not at once";
  }
}

TEST_F(BetterLink, ALinkByWhichThePeerIsNotReachedIsTriedLessAndLessOften) {
  better();
  Duration before{};
  for (int i = 0; i < 12; ++i) {
    t.refuse_dial();
    EXPECT_EQ(t.session->state(), State::active);
    const Time failed = t.now;
    for (const auto dials = t.dials.size(); t.dials.size() == dials;) {
      better();  // however often it is asked for
      t.advance(milliseconds(100));
      t.feed(channel, Ping{});
    }
    if (i < 5) {
      EXPECT_GT(t.now - failed, before);
    }
    before = (t.now - failed) / 2;
    EXPECT_LE(t.now - failed, last_move_delay + milliseconds(100));
  }
  channel_carries(channel);
}

TEST_F(BetterLink, WhoIsWhereItShouldBeTriesNoMore) {
  better();
  t.refuse_dial();
  best();
  const auto dials = t.dials.size();
  for (int i = 0; i < 100; ++i) {
    t.advance(seconds(1));
    t.feed(channel, Ping{});
  }
  EXPECT_EQ(t.dials.size(), dials);
}

TEST_F(BetterLink, WhoIsWhereItShouldBeDialsNoMore) {
  better();
  const ConnId conn = t.dials.back();
  best();
  EXPECT_EQ(t.session->attempt_conn(), 0U);
  EXPECT_TRUE(t.closed(conn));
  channel_carries(channel);
}

TEST_F(BetterLink, WhatHasFailedOverOneLinkDoesNotCountForAnother) {
  better();
  for (int i = 0; i < 5; ++i) {
    t.refuse_dial();
    for (const auto dials = t.dials.size(); t.dials.size() == dials;) {
      t.advance(milliseconds(100));
      t.feed(channel, Ping{});
    }
  }
  const auto dials = t.dials.size();
  better("eth2");
  EXPECT_EQ(t.dials.size(), dials + 1) << "at once, and not by the former one";
  EXPECT_TRUE(t.closed(t.dials[dials - 1]));
  channel_carries(channel);
}

// A RESUME_OK that has not been sent yet is the first thing on the channel.
TEST_F(BetterLink, AChannelIsAnsweredBeforeABetterOneIsLookedFor) {
  t.cut(channel);
  const ConnId theirs = t.incoming(t.alice);
  const Frame resume(t.resume_message(1, true));
  t.host->handle_input(theirs, resume.bytes(), t.now);
  t.host->handle_path(*t.session, "eth1", t.now);
  EXPECT_EQ(t.session->attempt_conn(), 0U);
  const auto dials = t.dials.size();
  t.advance(Duration(0));
  ASSERT_NE(t.last<ResumeOk>(theirs), nullptr);
  EXPECT_EQ(t.dials.size(), dials + 1);
}

TEST_F(BetterLink, TwoSidesThatDisagreeMoveLessAndLessOften) {
  std::uint64_t attempt = 0;
  Duration longest{};
  for (int i = 0; i < 8; ++i) {
    better();
    const auto asked = t.now;
    while (t.session->attempt_conn() == 0) {
      t.advance(milliseconds(100));
      t.feed(t.session->channel(), Ping{});
    }
    longest = std::max(longest, t.now - asked);
    t.feed(t.answer_dial(), ResumeOk{7, attempt, {0, RawHost::capacity_bytes, false, false}});
    best();
    const ConnId theirs = t.incoming(t.alice);
    t.feed(theirs, t.resume_message(++attempt, true));
    EXPECT_EQ(t.session->channel(), theirs);
  }
  EXPECT_GT(longest, seconds(10));
}

TEST_F(BetterLink, ADialWithoutAnEndIsGivenUp) {
  better();
  for (Duration passed{}; passed < dial_timeout; passed += seconds(1)) {
    t.advance(seconds(1));
    t.feed(channel, Ping{});
  }
  EXPECT_EQ(t.session->attempt_conn(), 0U);
  channel_carries(channel);
}

// Whether the peer has accepted is not known: neither channel can be trusted to be the one.
TEST_F(BetterLink, WithoutAnAnswerTheSessionResumes) {
  t.advance(short_channel_limit);
  (void)move();
  t.advance(move_timeout - milliseconds(1));
  EXPECT_EQ(t.session->state(), State::moving);
  t.advance(milliseconds(1));
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_TRUE(t.closed(channel));
  ASSERT_EQ(t.dials.size(), 2U) << "at once";
  t.feed(t.answer_dial(), answer(0));
  EXPECT_EQ(t.session->state(), State::active);
}

TEST_F(BetterLink, ALinkOverWhichNoAnswerComesIsTriedLater) {
  t.advance(short_channel_limit);
  (void)move();
  t.advance(move_timeout);
  const ConnId resumed = t.answer_dial();
  t.feed(resumed, answer(0));
  const auto dials = t.dials.size();
  better();
  EXPECT_EQ(t.dials.size(), dials) << "not at once";
  channel_carries(resumed);
}

// The peer has not looked at our RESUME.
TEST_F(BetterLink, WhereThePeerRefusesOurCertificateTheChannelStays) {
  const ConnId next = move();
  t.with([&](Host& host) { host.handle_dial_failed(next, DialFailure::untrusted, t.now); });
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.session->last_transition(), 70);
  channel_carries(channel);
}

TEST_F(BetterLink, WhereAConnectionIsLostBeforeItStandsTheChannelStays) {
  better();
  const ConnId conn = t.dials.back();
  t.with([&](Host& host) { host.handle_closed(conn, t.now); });
  EXPECT_EQ(t.session->last_transition(), 72);
  EXPECT_EQ(t.session->attempt_conn(), 0U);
  channel_carries(channel);
}

TEST_F(BetterLink, WhereTheConnectionBreaksBeforeTheAnswerTheSessionResumes) {
  const ConnId next = move();
  t.cut(next);
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_TRUE(t.closed(channel));
  ASSERT_EQ(t.dials.size(), 2U) << "at once";
  ASSERT_TRUE(t.session->last_pause());
  EXPECT_EQ(t.session->last_pause()->event, Event::attempt_lost);
}

TEST_F(BetterLink, TheOldChannelMayGoBeforeTheAnswerComes) {
  const ConnId next = move();
  t.cut(channel);
  EXPECT_EQ(t.session->state(), State::sent_resume);
  t.feed(next, answer(0));
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.session->channel(), next);
  EXPECT_FALSE(t.session->last_pause()) << "data has flowed all the time";
}

TEST_F(BetterLink, WhereTheOldChannelGoesAndNoAnswerComesDataHasPaused) {
  (void)move();
  t.cut(channel);
  t.advance(attempt_timeout);
  EXPECT_EQ(t.session->state(), State::ready_resume);
  ASSERT_TRUE(t.session->last_pause());
  EXPECT_EQ(t.session->last_pause()->event, Event::timeout);
  EXPECT_FALSE(t.session->last_pause()->silent);
}

TEST_F(BetterLink, AChannelThatBreaksMeanwhileIsReplacedByTheConnectionUnderWay) {
  better();
  const auto dials = t.dials.size();
  t.cut(channel);
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_EQ(t.dials.size(), dials) << "the dial goes on";
  t.feed(t.answer_dial(), answer(0));
  EXPECT_EQ(t.session->state(), State::active);
}

TEST_F(BetterLink, AChannelThatBreaksDoesNotWaitLongForADialOverOneLinkAlone) {
  t.advance(short_channel_limit);
  better();
  const ConnId conn = t.dials.back();
  t.cut(channel);
  t.advance(young_attempt_limit);
  EXPECT_TRUE(t.closed(conn));
  EXPECT_NE(t.session->attempt_conn(), 0U);
}

TEST_F(BetterLink, ThePeersResumeCountsUnlessOursIsTheCreators) {
  (void)move();
  const ConnId theirs = t.incoming(t.alice);
  t.feed(theirs, t.resume_message(1, true));
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.session->channel(), theirs);

  RawHost creator;
  (void)creator.connect_to_alice();
  creator.with([&](Host& host) { host.handle_path(*creator.session, "eth1", creator.now); });
  const ConnId ours = creator.answer_dial();
  const ConnId crossed = creator.incoming(creator.alice);
  creator.feed(crossed, creator.resume_message(1, false));
  ASSERT_NE(creator.last<ResumeDenied>(crossed), nullptr);
  EXPECT_EQ(creator.last<ResumeDenied>(crossed)->reason, ResumeDenial::collision);
  creator.feed(ours, answer(0));
  EXPECT_EQ(creator.session->channel(), ours);
}

// The peer refuses our certificate before our RESUME is on its way. The next connection begins with nothing of it.
TEST_F(BetterLink, AGreetingThatWasNotSentIsNotTheNextOnes) {
  RawHost host;
  (void)host.accept_from_alice();
  host.with([&](Host& h) { h.handle_path(*host.session, "eth1", host.now); });
  host.blocked = true;
  (void)host.answer_dial();
  ASSERT_EQ(host.session->state(), State::moving);
  host.refuse_dial(DialFailure::untrusted);
  host.blocked = false;
  const auto before = host.dials.size();
  host.with([&](Host& h) { h.handle_path(*host.session, "eth2", host.now); });
  ASSERT_EQ(host.dials.size(), before + 1);
  EXPECT_FALSE(host.session->wants_transmit(host.dials.back()));
  EXPECT_EQ(host.count<Resume>(host.answer_dial()), 1U);
}

TEST_F(BetterLink, WhatEndsASessionEndsItHereToo) {
  const auto moved = [](auto&& what, State state, Failure failure) {
    RawHost host;
    const ConnId old = host.accept_from_alice();
    host.with([&](Host& h) { h.handle_path(*host.session, "eth1", host.now); });
    const ConnId next = host.answer_dial();
    what(host, old, next);
    EXPECT_EQ(host.session->state(), state);
    EXPECT_EQ(host.session->failure(), failure);
    EXPECT_EQ(host.session->attempt_conn(), 0U);
  };
  using T = RawHost;
  moved(
      [](T& h, ConnId, ConnId next) {
        h.feed(next, ResumeDenied{ResumeDenial::unknown, 0, 0, 7});
      },
      State::closed, Failure::lost);
  moved(
      [](T& h, ConnId, ConnId next) {
        h.feed(next, ResumeDenied{ResumeDenial::superseded, 0, 0, 9});
      },
      State::closed, Failure::superseded);
  moved(
      [](T& h, ConnId, ConnId next) {
        h.with([&](Host& x) { x.finish(*h.session, h.now); });
        h.feed(next, ResumeDenied{ResumeDenial::closed, 0, 0, 7});
      },
      State::closed, Failure::none);
  moved([](T& h, ConnId old, ConnId) { h.feed(old, Abort{}); }, State::closed, Failure::lost);
  moved([](T& h, ConnId old, ConnId) { h.feed(old, Suspend{}); }, State::ready_resume, Failure::none);
  moved([](T& h, ConnId, ConnId) { h.with([&](Host& x) { x.suspend(*h.session, h.now); }); }, State::suspended,
        Failure::none);
  moved([](T& h, ConnId, ConnId) { h.with([&](Host& x) { x.abort(*h.session, h.now); }); }, State::closed,
        Failure::aborted_here);
  moved(
      [](T& h, ConnId, ConnId next) {
        h.feed(next, ResumeOk{7, 0, {99, 5000, false, false}});
      },
      State::closed, Failure::lost);
  moved(
      [](T& h, ConnId old, ConnId) {
        h.feed_data(old, 0, "held");
        const ConnId theirs = h.incoming(h.alice);
        h.write("hello");
        h.feed(old, Checkpoint{{5, 5 + RawHost::capacity_bytes, false, false}});
        h.feed(theirs, h.resume_message(1, true, 0));
      },
      State::closed, Failure::lost);
}

// Its last checkpoint would say more than the RESUME on its way.
TEST_F(BetterLink, ASessionThatIsCompleteEndsWithTheAnswer) {
  for (const bool refused : {false, true}) {
    RawHost h;
    const ConnId old = h.accept_from_alice();
    h.with([&](Host& host) { host.handle_path(*h.session, "eth1", h.now); });
    const ConnId next = h.answer_dial();
    h.feed_data(old, 0, "last");
    h.feed(old, Close{4});
    h.feed(old, Checkpoint{{0, RawHost::capacity_bytes, true, false}});
    EXPECT_EQ(h.session->state(), State::moving);
    EXPECT_EQ(h.count<Checkpoint>(old), 0U);
    if (refused) {
      h.feed(next, ResumeDenied{ResumeDenial::collision, 0, 0, 7});
    } else {
      h.feed(next, ResumeOk{7, 0, {0, RawHost::capacity_bytes, true, false}});
    }
    EXPECT_EQ(h.session->state(), State::closed);
    EXPECT_EQ(h.session->failure(), Failure::none);
    const auto* last = h.last<Checkpoint>(refused ? old : next);
    ASSERT_NE(last, nullptr);
    EXPECT_EQ(last->progress.held, 4U);
  }
}

TEST_F(BetterLink, WhatCarriesASessionIsItsChannelAlone) {
  EXPECT_EQ(t.host->carried_by(channel), t.session);
  EXPECT_EQ(t.host->carried_by(t.incoming(t.mallory)), nullptr) << "nothing has come on it";
  EXPECT_EQ(t.host->carried_by(12345), nullptr);
  const ConnId next = move();
  EXPECT_EQ(t.host->carried_by(next), nullptr) << "not yet";
  t.feed(next, answer(0));
  EXPECT_EQ(t.host->carried_by(next), t.session);
}

TEST_F(BetterLink, FailuresAreForgottenWhenAChannelLasts) {
  better();
  t.refuse_dial();
  best();
  for (Duration passed{}; passed <= last_move_delay; passed += seconds(1)) {
    t.advance(seconds(1));
    t.feed(channel, Ping{});
  }
  const auto dials = t.dials.size();
  better();
  EXPECT_EQ(t.dials.size(), dials + 1) << "at once";
}

TEST_F(BetterLink, NewsOfAPeerAreForItsSessionsAlone) {
  t.advance(short_channel_limit);
  t.cut(channel);
  t.refuse_dial();
  t.refuse_dial();
  const auto dials = t.dials.size();
  t.with([&](Host& host) { host.handle_moved(t.mallory, t.now); });
  EXPECT_EQ(t.dials.size(), dials);
  t.with([&](Host& host) { host.handle_moved(t.alice, t.now); });
  EXPECT_EQ(t.dials.size(), dials + 1);
}

TEST_F(BetterLink, OnlyAnActiveSessionMoves) {
  t.with([&](Host& host) { host.suspend(*t.session, t.now); });
  better();
  EXPECT_TRUE(t.dials.empty());
}

}  // namespace
}  // namespace sessionfs::test
