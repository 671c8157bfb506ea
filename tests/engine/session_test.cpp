// The state machine: connecting, losing, resuming, being denied, ending; the peer is played by hand.
#include "engine/session.hpp"

#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// --- connecting ---------------------------------------------------------------------------------------------------

TEST(Connecting, SendsConnectAndStandsWithTheAnswer) {
  RawHost t;
  t.session =
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test~x").value(), t.id, 1, t.now);
  t.pump();
  EXPECT_EQ(t.session->state(), State::connecting);
  EXPECT_EQ(t.session->file_name(), "file.alice@home.test~x");
  const ConnId conn = t.answer_dial();
  const auto* connect = t.last<Connect>(conn);
  ASSERT_NE(connect, nullptr);
  EXPECT_EQ(connect->id, t.id);
  EXPECT_EQ(connect->service, "file");
  EXPECT_EQ(connect->generation, 3U);
  EXPECT_EQ(connect->limit, RawHost::capacity_bytes);
  EXPECT_EQ(t.write("early"), 5U);
  EXPECT_TRUE(t.conns[conn].data.empty());
  t.feed(conn, ConnectOk{7, 1000});
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.session->channel(), conn);
  EXPECT_EQ(t.conns[conn].data, "early");
}

// The acceptor's RESUME was given up for the creator's repeated CONNECT, and arrives when the stream has begun.
TEST(Connecting, ALateResumeFromBeforeTheRepeatedConnectIsStale) {
  RawHost t;
  t.session =
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
  t.pump();
  const ConnId channel = t.answer_dial();
  t.feed(channel, ConnectOk{7, RawHost::capacity_bytes, 1});
  EXPECT_EQ(t.write("hello"), 5U);
  t.feed(channel, Checkpoint{{5, 5 + RawHost::capacity_bytes, false, false}});
  const ConnId late = t.incoming(t.alice);
  t.feed(late, t.resume_message(1, false));
  ASSERT_NE(t.last<ResumeDenied>(late), nullptr);
  EXPECT_EQ(t.last<ResumeDenied>(late)->reason, ResumeDenial::stale);
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.session->channel(), channel);
}

TEST(Connecting, EachDenialHasItsFailure) {
  const std::pair<ConnectDenial, Failure> cases[] = {{ConnectDenial::no_service, Failure::no_service},
                                                     {ConnectDenial::access, Failure::access},
                                                     {ConnectDenial::backlog_full, Failure::backlog_full},
                                                     {ConnectDenial::not_here, Failure::unreachable},
                                                     {ConnectDenial::version, Failure::version}};
  for (const auto& [denial, failure] : cases) {
    RawHost t;
    t.session =
        t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
    t.pump();
    t.feed(t.answer_dial(), ConnectDenied{denial});
    EXPECT_EQ(t.session->state(), State::closed);
    EXPECT_EQ(t.session->failure(), failure);
    t.with([&](Host& host) { host.close(*t.session, t.now); });
    EXPECT_EQ(t.forgotten.size(), 1U);
    EXPECT_FALSE(t.host->next_timeout());
  }
}

TEST(Connecting, EachDialFailureHasItsFailure) {
  const std::pair<DialFailure, Failure> cases[] = {{DialFailure::no_endpoint, Failure::no_endpoint},
                                                   {DialFailure::unreachable, Failure::unreachable},
                                                   {DialFailure::timed_out, Failure::timed_out},
                                                   {DialFailure::untrusted, Failure::untrusted},
                                                   {DialFailure::not_here, Failure::unreachable}};
  for (const auto& [dial, failure] : cases) {
    RawHost t;
    t.session =
        t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
    t.pump();
    t.refuse_dial(dial);
    EXPECT_EQ(t.session->failure(), failure);
  }
}

TEST(Connecting, NoAnswerIsATimeoutAfterTenSeconds) {
  RawHost t;
  t.session =
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
  t.pump();
  (void)t.answer_dial();
  t.advance(connect_timeout - milliseconds(1));
  EXPECT_EQ(t.session->state(), State::connecting);
  t.advance(milliseconds(1));
  EXPECT_EQ(t.session->failure(), Failure::timed_out);
  EXPECT_FALSE(t.host->next_timeout());
}

TEST(Connecting, ALostConnectionIsTriedAgainWithTheSameSession) {
  RawHost t;
  t.session =
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
  t.pump();
  t.cut(t.answer_dial());
  t.advance(first_retry_delay);
  ASSERT_EQ(t.dials.size(), 2U);
  const ConnId conn = t.answer_dial();
  ASSERT_NE(t.last<Connect>(conn), nullptr);
  EXPECT_EQ(t.last<Connect>(conn)->id, t.id);
  t.feed(conn, ConnectOk{7, 1000});
  EXPECT_EQ(t.session->state(), State::active);
}

TEST(Connecting, ARepeatedConnectFindsTheSessionMadeBefore) {
  RawHost t;
  const ConnId first = t.accept_from_alice();
  t.write("hello");
  const ConnId second = t.incoming(t.alice);
  t.feed(second, t.connect_message());
  EXPECT_TRUE(t.closed(first));
  EXPECT_NE(t.last<ConnectOk>(second), nullptr);
  EXPECT_EQ(t.conns[second].data, "hello");
  EXPECT_EQ(t.conns[second].data_offset, 0U);
  EXPECT_EQ(t.arrivals, 1U);
}

TEST(Connecting, AConnectThatComesTooLateTouchesNothing) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "x");
  const ConnId late = t.incoming(t.alice);
  t.feed(late, t.connect_message());
  EXPECT_TRUE(t.closed(late));
  EXPECT_EQ(t.session->channel(), channel);
  EXPECT_EQ(t.read(), "x");
}

// --- losing and resuming ------------------------------------------------------------------------------------------

TEST(Resuming, ALostChannelIsResumedAtOnceFromWhatIsHeld) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("0123456789");
  t.feed_data(channel, 0, "abc");
  t.feed(channel, Checkpoint{{4, 4 + 4096, false, false}});
  t.advance(seconds(2));
  t.cut(channel);
  EXPECT_EQ(t.session->state(), State::ready_resume);
  const ConnId conn = t.answer_dial();
  EXPECT_EQ(t.session->state(), State::sent_resume);
  const auto* resume = t.last<Resume>(conn);
  ASSERT_NE(resume, nullptr);
  EXPECT_EQ(resume->progress.held, 3U);
  EXPECT_EQ(resume->attempt, 1U);
  EXPECT_FALSE(resume->from_creator);
  t.feed(conn, ResumeOk{7, 0, {6, 6 + 4096, false, false}});
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.conns[conn].data, "6789");
  EXPECT_EQ(t.conns[conn].data_offset, 6U);
}

TEST(Resuming, EveryAttemptHasAHigherNumberAndIsStoredBefore) {
  RawHost t;
  t.cut(t.accept_from_alice());
  for (std::uint64_t attempt = 1; attempt <= 5; ++attempt) {
    const ConnId conn = t.answer_next_dial();
    ASSERT_NE(t.last<Resume>(conn), nullptr);
    EXPECT_EQ(t.last<Resume>(conn)->attempt, attempt);
    EXPECT_EQ(t.store.load({t.bob, t.id, false})->attempt, attempt);
    t.cut(conn);
  }
}

TEST(Resuming, AnAttemptThatIsNotHigherIsStale) {
  RawHost t;
  const ConnId first = t.accept_from_alice();
  const ConnId second = t.incoming(t.alice);
  t.feed(second, t.resume_message(5, true));
  EXPECT_TRUE(t.closed(first));
  EXPECT_EQ(t.session->channel(), second);
  for (const std::uint64_t attempt : {5U, 4U, 0U}) {
    const ConnId late = t.incoming(t.alice);
    t.feed(late, t.resume_message(attempt, true));
    ASSERT_NE(t.last<ResumeDenied>(late), nullptr);
    EXPECT_EQ(t.last<ResumeDenied>(late)->reason, ResumeDenial::stale);
    EXPECT_TRUE(t.closed(late));
    EXPECT_EQ(t.session->channel(), second);
  }
}

TEST(Resuming, AnAttemptGivenUpBeforeIsStaleWhenItArrivesLate) {
  RawHost t;
  const ConnId channel = t.connect_to_alice();
  t.write("0123456789");
  t.advance(seconds(2));
  t.cut(channel);
  const ConnId conn = t.answer_dial();
  // Alice had sent her attempt 9 before she accepted ours.
  t.feed(conn, ResumeOk{7, 9, {0, 4096, false, false}});
  t.feed(conn, Checkpoint{{10, 4106, false, false}});
  EXPECT_EQ(t.session->send_buffer().acked(), 10U);
  const ConnId late = t.incoming(t.alice);
  t.feed(late, t.resume_message(9, false, 0));
  ASSERT_NE(t.last<ResumeDenied>(late), nullptr);
  EXPECT_EQ(t.last<ResumeDenied>(late)->reason, ResumeDenial::stale);
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.session->channel(), conn);
}

TEST(Resuming, ALowerGenerationIsSupersededAndAHigherOneTakesOver) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  Resume resume = t.resume_message(1, true);
  resume.generation = 6;
  const ConnId old = t.incoming(t.alice);
  t.feed(old, resume);
  ASSERT_NE(t.last<ResumeDenied>(old), nullptr);
  EXPECT_EQ(t.last<ResumeDenied>(old)->reason, ResumeDenial::superseded);
  EXPECT_EQ(t.session->channel(), channel);
  resume.generation = 8;
  const ConnId newer = t.incoming(t.alice);
  t.feed(newer, resume);
  EXPECT_EQ(t.session->channel(), newer);
  EXPECT_TRUE(t.closed(channel));
}

TEST(Resuming, AGapEndsTheSessionOnBothSides) {
  for (const bool ahead : {false, true}) {
    RawHost t;
    const ConnId channel = t.accept_from_alice();
    t.write("0123456789");
    t.feed(channel, Checkpoint{{6, 4102, false, false}});
    const ConnId conn = t.incoming(t.alice);
    t.feed(conn, t.resume_message(1, true, ahead ? 11 : 5));
    ASSERT_NE(t.last<ResumeDenied>(conn), nullptr);
    EXPECT_EQ(t.last<ResumeDenied>(conn)->reason, ResumeDenial::gap);
    EXPECT_EQ(t.session->state(), State::closed);
    EXPECT_EQ(t.session->failure(), Failure::lost);
    EXPECT_TRUE(t.closed(channel));
    // Asked again, it is as if it did not exist.
    const ConnId again = t.incoming(t.alice);
    t.feed(again, t.resume_message(2, true, 6));
    ASSERT_NE(t.last<ResumeDenied>(again), nullptr);
    EXPECT_EQ(t.last<ResumeDenied>(again)->reason, ResumeDenial::unknown);
    t.advance(seconds(60));
    EXPECT_FALSE(t.host->next_timeout());
  }
}

TEST(Resuming, AGapInTheAnswerEndsItAndTellsThePeer) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("0123456789");
  t.feed(channel, Checkpoint{{6, 4102, false, false}});
  t.advance(seconds(2));
  t.cut(channel);
  const ConnId conn = t.answer_dial();
  t.feed(conn, ResumeOk{7, 0, {5, 4101, false, false}});
  EXPECT_EQ(t.session->failure(), Failure::lost);
  EXPECT_NE(t.last<Abort>(conn), nullptr);
  EXPECT_TRUE(t.closed(conn));
}

// --- both at once -------------------------------------------------------------------------------------------------

TEST(BothAtOnce, TheCreatorRefusesAndGoesOn) {
  RawHost t;
  const ConnId channel = t.connect_to_alice();
  t.advance(seconds(2));
  t.cut(channel);
  const ConnId conn = t.answer_dial();
  const ConnId crossing = t.incoming(t.alice);
  t.feed(crossing, t.resume_message(1, false));
  ASSERT_NE(t.last<ResumeDenied>(crossing), nullptr);
  EXPECT_EQ(t.last<ResumeDenied>(crossing)->reason, ResumeDenial::collision);
  EXPECT_EQ(t.session->state(), State::sent_resume);
  EXPECT_FALSE(t.closed(conn));
  t.feed(conn, ResumeOk{7, 1, {0, 4096, false, false}});
  EXPECT_EQ(t.session->state(), State::active);
  EXPECT_EQ(t.session->channel(), conn);
}

TEST(BothAtOnce, TheOtherSideDropsItsOwnAndAccepts) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(seconds(2));
  t.cut(channel);
  const ConnId conn = t.answer_dial();
  const ConnId crossing = t.incoming(t.alice);
  t.feed(crossing, t.resume_message(1, true));
  EXPECT_TRUE(t.closed(conn));
  ASSERT_NE(t.last<ResumeOk>(crossing), nullptr);
  EXPECT_EQ(t.last<ResumeOk>(crossing)->attempt, 1U) << "its own attempt is given up";
  EXPECT_EQ(t.session->channel(), crossing);
  // What the creator has said to the attempt that is no more changes nothing.
  t.feed(conn, ResumeDenied{ResumeDenial::collision, 0, 0, 7});
  EXPECT_EQ(t.session->state(), State::active);
}

TEST(BothAtOnce, WhoIsToldOfACollisionWaitsTwoSecondsForTheCreator) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.advance(seconds(2));
  t.cut(channel);
  const ConnId conn = t.answer_dial();
  t.feed(conn, ResumeDenied{ResumeDenial::collision, 0, 0, 7});
  EXPECT_EQ(t.session->state(), State::ready_resume);
  const auto dials = t.dials.size();
  t.advance(collision_wait - milliseconds(1));
  EXPECT_EQ(t.dials.size(), dials);
  t.advance(milliseconds(1));
  EXPECT_EQ(t.dials.size(), dials + 1);
}

}  // namespace
}  // namespace sessionfs::test
