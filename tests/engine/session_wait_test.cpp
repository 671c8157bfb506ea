// What a session waits for, and how long: retries, timeouts, heartbeats, silence, the user; and what ends it.
#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds settled{2};  // a channel that stands so long is resumed at once when it breaks

// The times between one dial and the next, each refused at once.
std::vector<Duration> refused_dials(RawHost& t, std::size_t count) {
  std::vector<Duration> waits;
  for (std::size_t i = 0; i < count; ++i) {
    t.refuse_dial();
    const Time from = t.now;
    for (const auto before = t.dials.size(); t.dials.size() == before && t.host->next_timeout();)
      t.advance(*t.host->next_timeout() - t.now);
    waits.push_back(t.now - from);
  }
  return waits;
}

TEST(Retrying, BacksOffToThirtySecondsAndNoFurther) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(settled);
  t.cut(channel);
  ASSERT_EQ(t.dials.size(), 1U) << "the first one is at once";
  Duration bound = first_retry_delay;
  for (const Duration wait : refused_dials(t, 30)) {
    EXPECT_GE(wait, bound / 2);
    EXPECT_LE(wait, bound);
    bound = std::min(2 * bound, last_retry_delay);
  }
  EXPECT_EQ(bound, last_retry_delay);
}

TEST(Retrying, StartsOverWhenTheNetworkChanges) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(settled);
  t.cut(channel);
  (void)refused_dials(t, 20);
  t.refuse_dial();
  const auto dials = t.dials.size();
  t.with([&](Host& host) { host.handle_network_change(t.now); });
  ASSERT_EQ(t.dials.size(), dials + 1) << "at once";
  EXPECT_LE(refused_dials(t, 1)[0], first_retry_delay);
}

TEST(Retrying, ChangesThatFollowEachOtherLetAnAttemptComeToItsEnd) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(settled);
  t.cut(channel);
  ASSERT_EQ(t.dials.size(), 1U);
  const auto change = [&] { t.with([&](Host& host) { host.handle_network_change(t.now); }); };
  for (Duration passed{}; passed < young_attempt_limit; passed += milliseconds(100)) {
    change();
    EXPECT_EQ(t.dials.size(), 1U) << "the attempt is young";
    t.advance(milliseconds(100));
  }
  EXPECT_EQ(t.dials.size(), 2U) << "and is made anew when it has had its time";
  t.advance(young_attempt_limit);
  change();
  EXPECT_EQ(t.dials.size(), 2U) << "this one has twice the time: the way may be long";
  t.advance(young_attempt_limit);
  EXPECT_EQ(t.dials.size(), 3U) << "no longer young";
}

TEST(Retrying, ChangesWithoutAnEndLeaveALongWayTimeEnough) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(settled);
  t.cut(channel);
  Duration longest{};
  for (Duration passed{}, began{}; passed < std::chrono::seconds(60); passed += milliseconds(20)) {
    const auto dials = t.dials.size();
    t.with([&](Host& host) { host.handle_network_change(t.now); });
    t.advance(milliseconds(20));
    if (t.dials.size() == dials) continue;
    longest = std::max(longest, passed - began);
    began = passed;
  }
  EXPECT_GE(longest, attempt_timeout) << "attempts were always cut short";
}

TEST(Retrying, AChannelThatBreaksAgainAndAgainAtOnceIsNotResumedInALoop) {
  RawHost t;
  t.cut(t.accept_from_alice());
  EXPECT_TRUE(t.dials.empty());
  const Time start = t.now;
  for (int i = 0; i < 8; ++i) {
    const ConnId conn = t.answer_next_dial();
    t.feed(conn, ResumeOk{7, 0, {0, 4096, false, false}});
    t.cut(conn);
  }
  EXPECT_GE(t.now - start, seconds(5));
}

TEST(Retrying, RefusedUnreachableAndUntrustedAreNoReasonToGiveUp) {
  RawHost t;
  t.cut(t.accept_from_alice());
  for (const auto failure : {DialFailure::unreachable, DialFailure::timed_out, DialFailure::untrusted,
                             DialFailure::not_here, DialFailure::no_endpoint}) {
    (void)t.answer_next_dial();
    t.cut(t.dials.back());
    for (const auto before = t.dials.size(); t.dials.size() == before;) t.advance(*t.host->next_timeout() - t.now);
    t.refuse_dial(failure);
    EXPECT_EQ(t.session->state(), State::ready_resume);
    EXPECT_TRUE(t.host->next_timeout());
  }
}

// TLS 1.3 lets us begin before the peer has looked at our certificate.
TEST(Retrying, APeerThatRefusesOurCertificateIsAskedAgainLater) {
  RawHost t;
  t.cut(t.accept_from_alice());
  const ConnId conn = t.answer_next_dial();
  EXPECT_EQ(t.session->state(), State::sent_resume);
  t.with([&](Host& host) { host.handle_dial_failed(conn, DialFailure::untrusted, t.now); });
  EXPECT_EQ(t.session->last_transition(), 71);
  EXPECT_EQ(t.session->state(), State::ready_resume);
  (void)t.answer_next_dial();
}

TEST(Retrying, AConnectionThatIsLostBeforeItStandsIsMadeAgain) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(settled);
  t.cut(channel);
  const auto dials = t.dials.size();
  t.with([&](Host& host) { host.handle_closed(t.dials.back(), t.now); });
  EXPECT_EQ(t.session->last_transition(), 73);
  EXPECT_EQ(t.session->attempt_conn(), 0U);
  t.advance(first_retry_delay);
  EXPECT_EQ(t.dials.size(), dials + 1);
}

TEST(Waiting, ADialThatReachesNobodyIsGivenUp) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(settled);
  t.cut(channel);
  t.advance(dial_timeout - milliseconds(1));
  EXPECT_FALSE(t.conns[t.dials[0]].closed);
  t.advance(milliseconds(1));
  EXPECT_TRUE(t.conns[t.dials[0]].closed);
  EXPECT_EQ(t.session->last_transition(), 30);
  t.advance(first_retry_delay);
  EXPECT_EQ(t.dials.size(), 2U);
}

TEST(Waiting, AResumeThatIsNeverAnsweredIsGivenUpAfterFiveSeconds) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(settled);
  t.cut(channel);
  t.advance(seconds(4));
  const ConnId conn = t.answer_dial();
  t.advance(attempt_timeout - milliseconds(1));
  EXPECT_EQ(t.session->state(), State::sent_resume) << "how long the dial took does not count";
  t.advance(milliseconds(1));
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_EQ(t.session->last_transition(), 35);
  EXPECT_TRUE(t.closed(conn));
}

TEST(Waiting, BothSidesOfAnIdleChannelSendAHeartbeat) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  const auto before = t.count<Checkpoint>(channel);
  for (int i = 1; i <= 10; ++i) {
    t.advance(heartbeat_interval);
    EXPECT_EQ(t.count<Checkpoint>(channel), before + static_cast<std::size_t>(i));
    t.feed(channel, Checkpoint{{0, 4096, false, false}});
  }
  EXPECT_EQ(t.session->state(), State::active);
}

TEST(Waiting, FifteenSecondsOfSilenceAreALoss) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(idle_silence_limit - milliseconds(1));
  EXPECT_EQ(t.session->state(), State::active);
  t.advance(milliseconds(1));
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.dials.size(), 1U);
}

TEST(Waiting, WithUnacknowledgedBytesThreeSecondsAre) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(seconds(8));
  t.write("hello");
  t.advance(unacked_silence_limit - milliseconds(1));
  EXPECT_EQ(t.session->state(), State::active) << "the silence before the bytes does not count";
  t.advance(milliseconds(1));
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_TRUE(t.closed(channel));
}

TEST(Waiting, TheLimitsOfSilenceAreThoseThatTheHostHasBeenGiven) {
  RawHost t;
  t.host->set_silence_limits({.unacked = seconds(1), .idle = seconds(30)});
  const ConnId channel = t.accept_from_alice();
  t.advance(seconds(29));
  EXPECT_EQ(t.session->state(), State::active);
  t.feed(channel, Checkpoint{{0, 4096, false, false}});
  t.write("hello");
  t.advance(seconds(1) - milliseconds(1));
  EXPECT_EQ(t.session->state(), State::active);
  t.advance(milliseconds(1));
  EXPECT_EQ(t.session->state(), State::ready_resume);
}

TEST(Waiting, ALinkOnWhichBytesTakeLongIsGivenLonger) {
  RawHost t;
  ConnId channel = t.accept_from_alice();
  t.write("hello");
  Duration limit = unacked_silence_limit;
  for (std::uint64_t attempt = 1; attempt < 5; ++attempt) {
    t.advance(limit - milliseconds(1));
    EXPECT_EQ(t.session->state(), State::active) << attempt;
    t.advance(milliseconds(1));
    EXPECT_EQ(t.session->state(), State::ready_resume) << attempt;
    limit = std::min(2 * limit, idle_silence_limit);
    channel = t.answer_next_dial();
    t.feed(channel, ResumeOk{7, attempt, {0, 4096, false, false}});
  }
  t.advance(seconds(6));
  t.feed(channel, Checkpoint{{3, 4096, false, false}});
  t.advance(seconds(12) - milliseconds(1));
  EXPECT_EQ(t.session->state(), State::active) << "twice what the last acknowledgement took";
  t.advance(milliseconds(1));
  EXPECT_EQ(t.session->state(), State::ready_resume);
}

TEST(Waiting, WhoeverIsHeardIsNotSilent) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("hello");
  for (int i = 0; i < 10; ++i) {
    t.advance(seconds(2));
    t.feed_data(channel, static_cast<std::uint64_t>(i), "x");
  }
  EXPECT_EQ(t.session->state(), State::active);
}

TEST(Waiting, AnAbortOnAConnectionThatTakesNothingIsLetGo) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.blocked = true;
  t.with([&](Host& host) { host.abort(*t.session, t.now); });
  EXPECT_TRUE(t.forgotten.empty());
  t.advance(attempt_timeout);
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.forgotten.size(), 1U);
}

// --- the user -----------------------------------------------------------------------------------------------------

TEST(Suspending, TellsThePeerKeepsTheDataAndResumesByTheUserAlone) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "abc");
  t.with([&](Host& host) { host.suspend(*t.session, t.now); });
  EXPECT_EQ(t.session->state(), State::suspended);
  EXPECT_NE(t.last<Suspend>(channel), nullptr);
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.read(), "abc");
  EXPECT_EQ(t.write("later"), 5U);
  t.with([&](Host& host) { host.handle_network_change(t.now); });
  t.advance(std::chrono::hours(10));
  EXPECT_TRUE(t.dials.empty());
  const ConnId knock = t.incoming(t.alice);
  t.feed(knock, t.resume_message(1, true));
  ASSERT_NE(t.last<ResumeDenied>(knock), nullptr);
  EXPECT_EQ(t.last<ResumeDenied>(knock)->reason, ResumeDenial::suspended);
  EXPECT_EQ(t.last<ResumeDenied>(knock)->held, 3U);
  t.with([&](Host& host) { host.resume(*t.session, t.now); });
  const ConnId conn = t.answer_dial();
  t.feed(conn, ResumeOk{7, 1, {0, 4096, false, false}});
  EXPECT_EQ(t.conns[conn].data, "later");
}

TEST(Suspending, TheOtherSideWaitsAndTriesSeldom) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed(channel, Suspend{});
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_TRUE(t.closed(channel));
  t.advance(last_retry_delay / 2 - milliseconds(1));
  EXPECT_TRUE(t.dials.empty());
  const Time start = t.now;
  t.feed(t.answer_next_dial(), ResumeDenied{ResumeDenial::suspended, 0, 0, 7});
  EXPECT_LE(t.now - start, last_retry_delay / 2 + milliseconds(1));
  EXPECT_EQ(t.session->state(), State::ready_resume);
  t.advance(last_retry_delay / 2 - milliseconds(1));
  EXPECT_EQ(t.dials.size(), 1U);
  (void)t.answer_next_dial();
  EXPECT_LE(t.now - start, 2 * last_retry_delay);
}

// --- denied -------------------------------------------------------------------------------------------------------

struct Denial {
  ResumeDenial reason;
  State next;
  Failure failure;
};

TEST(Denied, EachReasonHasOneNextState) {
  const Denial cases[] = {{ResumeDenial::suspended, State::ready_resume, Failure::none},
                          {ResumeDenial::collision, State::ready_resume, Failure::none},
                          {ResumeDenial::not_here, State::ready_resume, Failure::none},
                          {ResumeDenial::stale, State::ready_resume, Failure::none},
                          {ResumeDenial::version, State::ready_resume, Failure::none},
                          {ResumeDenial::superseded, State::closed, Failure::superseded},
                          {ResumeDenial::closed, State::closed, Failure::none},
                          {ResumeDenial::unknown, State::closed, Failure::lost},
                          {ResumeDenial::gap, State::closed, Failure::lost}};
  for (const auto& [reason, next, failure] : cases) {
    RawHost t;
    const ConnId channel = t.accept_from_alice();
    t.write("hello");
    t.with([&](Host& host) { host.finish(*t.session, t.now); });
    t.feed_data(channel, 0, "abc");
    t.cut(channel);
    const ConnId conn = t.answer_next_dial();
    t.feed(conn, ResumeDenied{reason, 5, 3, 7});
    EXPECT_EQ(t.session->state(), next) << int(reason);
    EXPECT_EQ(t.session->failure(), failure) << int(reason);
    EXPECT_TRUE(t.closed(conn));
    const auto timer = t.host->next_timeout();
    EXPECT_TRUE(next == State::closed || timer);
    EXPECT_EQ(t.read(), "abc") << "what has come in stays readable";
  }
}

TEST(Denied, AFormerResidenceCannotEndASession) {
  for (const ResumeDenial reason : {ResumeDenial::unknown, ResumeDenial::gap, ResumeDenial::closed}) {
    RawHost t;
    const ConnId channel = t.accept_from_alice();  // of generation 7
    t.write("hello");
    t.cut(channel);
    t.feed(t.answer_next_dial(), ResumeDenied{reason, 5, 0, 6});
    EXPECT_EQ(t.session->state(), State::ready_resume) << int(reason);
    EXPECT_EQ(t.session->failure(), Failure::none) << int(reason);
    EXPECT_TRUE(t.host->next_timeout());
  }
}

TEST(Denied, ClosedWithBytesMissingIsALoss) {
  for (const auto& [held, end] : {std::pair{4U, 3U}, {5U, 4U}, {5U, 2U}}) {
    RawHost t;
    const ConnId channel = t.accept_from_alice();
    t.write("hello");
    t.with([&](Host& host) { host.finish(*t.session, t.now); });
    t.feed_data(channel, 0, "abc");
    t.cut(channel);
    t.feed(t.answer_next_dial(), ResumeDenied{ResumeDenial::closed, held, end, 7});
    EXPECT_EQ(t.session->failure(), Failure::lost);
  }
}

// --- the end ------------------------------------------------------------------------------------------------------

TEST(Ending, ATombstoneAnswersWhoMissedTheLastCheckpoint) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("hello");
  t.feed_data(channel, 0, "abc");
  t.feed(channel, Close{3});
  t.feed(channel, Checkpoint{{5, 4101, false, false}});
  t.with([&](Host& host) { host.close(*t.session, t.now); });
  ASSERT_NE(t.last<Close>(channel), nullptr);
  EXPECT_EQ(t.last<Close>(channel)->offset, 5U);
  t.feed(channel, Checkpoint{{5, 4101, true, true}});
  ASSERT_EQ(t.forgotten.size(), 1U);
  EXPECT_TRUE(t.last<Checkpoint>(channel)->progress.has_close);

  const ConnId conn = t.incoming(t.alice);
  t.feed(conn, t.resume_message(1, true, 5));
  ASSERT_NE(t.last<ResumeDenied>(conn), nullptr);
  EXPECT_EQ(t.last<ResumeDenied>(conn)->reason, ResumeDenial::closed);
  EXPECT_EQ(t.last<ResumeDenied>(conn)->held, 3U);
  EXPECT_EQ(t.last<ResumeDenied>(conn)->end, 5U);
  // Only the peer is told, and its old CONNECT makes no second session.
  const ConnId other = t.incoming(t.mallory);
  t.feed(other, t.resume_message(1, true, 5));
  EXPECT_EQ(t.last<ResumeDenied>(other)->reason, ResumeDenial::unknown);
  const ConnId late = t.incoming(t.alice);
  t.feed(late, t.connect_message());
  EXPECT_TRUE(t.closed(late));
  EXPECT_EQ(t.arrivals, 1U);
}

TEST(Ending, TheEndIsSentAgainAfterEveryResumeUntilItIsHeld) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("hello");
  t.with([&](Host& host) { host.finish(*t.session, t.now); });
  EXPECT_EQ(t.last<Finish>(channel)->offset, 5U);
  EXPECT_EQ(t.write("more"), 0U);
  t.cut(channel);
  ConnId conn = t.answer_next_dial();
  t.feed(conn, ResumeOk{7, 0, {5, 4101, false, false}});
  EXPECT_NE(t.last<Finish>(conn), nullptr);
  t.cut(conn);
  conn = t.answer_next_dial();
  t.feed(conn, ResumeOk{7, 0, {5, 4101, true, false}});
  EXPECT_EQ(t.last<Finish>(conn), nullptr);
  t.with([&](Host& host) { host.close(*t.session, t.now); });
  EXPECT_NE(t.last<Close>(conn), nullptr) << "a CLOSE says more than the FINISH before it";
}

TEST(Ending, AbortTellsThePeerAndTheyAreBothReset) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("hello");
  t.with([&](Host& host) { host.abort(*t.session, t.now); });
  EXPECT_NE(t.last<Abort>(channel), nullptr);
  EXPECT_EQ(t.session->failure(), Failure::aborted_here);
  EXPECT_EQ(t.forgotten.size(), 1U);

  RawHost other;
  const ConnId conn = other.accept_from_alice();
  other.feed(conn, Abort{});
  EXPECT_EQ(other.session->failure(), Failure::lost);
  EXPECT_TRUE(other.closed(conn));
  EXPECT_TRUE(other.forgotten.empty()) << "its application has not seen it";
}

}  // namespace
}  // namespace sessionfs::test
