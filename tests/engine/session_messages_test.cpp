// Messages and calls that come at a moment when nobody should send or make them.
#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

// Long enough for a loss of the channel to be dialled for at once.
constexpr Duration long_enough = 2 * short_channel_limit;

ConnId resume_of_bob(RawHost& t) {
  const ConnId channel = t.accept_from_alice();
  t.advance(long_enough);
  t.cut(channel);
  return t.answer_dial();
}

TEST(Unexpected, OnAnAttemptOnlyItsAnswerIsNone) {
  const Message messages[] = {ConnectOk{7, 4096, 0}, ConnectDenied{ConnectDenial::access}, Ping{}, Checkpoint{}};
  for (const auto& message : messages) {
    RawHost t;
    const ConnId conn = resume_of_bob(t);
    t.feed(conn, message);
    EXPECT_TRUE(t.closed(conn)) << message.index();
    EXPECT_EQ(t.session->state(), State::ready_resume) << message.index();
  }
  RawHost t;
  const ConnId conn = resume_of_bob(t);
  t.feed_data(conn, 0, "early");
  EXPECT_TRUE(t.closed(conn));
}

TEST(Unexpected, BeforeTheSessionStandsNothingButItsAnswerCounts) {
  for (const Message& message : {Message(ResumeOk{7, 1, {}}), Message(ResumeDenied{ResumeDenial::suspended})}) {
    RawHost t;
    t.session =
        t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
    t.pump();
    const ConnId conn = t.answer_dial();
    t.feed(conn, message);
    EXPECT_TRUE(t.closed(conn));
    EXPECT_EQ(t.session->state(), State::connecting);
  }
}

TEST(Unexpected, AnAnswerOfAFormerResidenceIsNone) {
  RawHost t;
  const ConnId conn = resume_of_bob(t);
  t.feed(conn, ResumeOk{6, 1, {0, 4096, false, false}});
  EXPECT_TRUE(t.closed(conn));
  EXPECT_EQ(t.session->state(), State::ready_resume);
}

TEST(Unexpected, AnEndThatWasNeverSaidCannotBeHeld) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed(channel, Checkpoint{{0, 4096, true, false}});
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.session->state(), State::ready_resume);
}

TEST(Unexpected, WhatComesBehindASuspendOrACloseIsDropped) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.blocked = true;
  t.with([&](Host& host) { host.suspend(*t.session, t.now); });
  t.feed_data(channel, 0, "late");
  t.feed(channel, Ping{});
  EXPECT_EQ(t.session->state(), State::suspended);
  EXPECT_EQ(t.read(), "");
  EXPECT_FALSE(t.closed(channel)) << "the SUSPEND is still to be sent";
}

TEST(Unexpected, ASecondMessageBehindADenialSaysNothing) {
  RawHost t;
  t.blocked = true;
  const ConnId conn = t.incoming(t.alice);
  Connect connect = t.connect_message();
  connect.service = "none";
  t.feed(conn, connect);
  t.feed(conn, t.connect_message());
  EXPECT_EQ(t.arrivals, 0U);
}

TEST(Unexpected, AResumeOfAnotherVersion) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  const ConnId conn = t.incoming(t.alice);
  Resume resume = t.resume_message(1, true);
  resume.version = protocol_version + 1;
  t.feed(conn, resume);
  ASSERT_NE(t.last<ResumeDenied>(conn), nullptr);
  EXPECT_EQ(t.last<ResumeDenied>(conn)->reason, ResumeDenial::version);
  EXPECT_EQ(t.session->channel(), channel);
}

TEST(Unexpected, OfASupersededSessionNothingIsTold) {
  RawHost t;
  const ConnId conn = resume_of_bob(t);
  t.feed(conn, ResumeDenied{ResumeDenial::superseded, 0, 0, 7});
  ASSERT_EQ(t.session->failure(), Failure::superseded);
  const ConnId knock = t.incoming(t.alice);
  t.feed(knock, t.resume_message(1, true));
  ASSERT_NE(t.last<ResumeDenied>(knock), nullptr);
  EXPECT_EQ(t.last<ResumeDenied>(knock)->reason, ResumeDenial::not_here);
}

TEST(Unexpected, CallsThatFindNothing) {
  RawHost t;
  const ConnId conn = t.incoming(t.alice);
  Transmit out;
  EXPECT_FALSE(t.host->poll_transmit(conn, out, t.now)) << "it has not said what it is for";
  t.host->remove_endpoint(t.mallory, t.now);
  t.host->remove_service(*t.host->find_endpoint(t.bob), "none", t.now);
  (void)t.accept_from_alice();
  t.host->consume(*t.session, 0, t.now);
  t.host->remove_service(*t.host->find_endpoint(t.bob), "file", t.now);
  t.host->give_back(*t.host->find_endpoint(t.bob), t.session);
  EXPECT_TRUE(t.session->accepted()) << "there is no service any more that could wait with it";
}

TEST(Unexpected, ACloseBeforeItStands) {
  RawHost t;
  t.session =
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
  t.pump();
  t.with([&](Host& host) { host.close(*t.session, t.now); });
  EXPECT_EQ(t.session->failure(), Failure::aborted_here);
  EXPECT_EQ(t.write("too late"), 0U);
  EXPECT_EQ(t.forgotten.size(), 1U);
}

TEST(Unexpected, OnePeerHasSoManySessionsAndNoMore) {
  RawHost t;
  Endpoint& bob = *t.host->find_endpoint(t.bob);
  const auto connect = [&](std::size_t number, const EndpointName& peer) {
    const ConnId conn = t.incoming(peer);
    Connect message = t.connect_message();
    message.id.bytes[0] = static_cast<std::uint8_t>(number >> 8);
    message.id.bytes[1] = static_cast<std::uint8_t>(number);
    t.feed(conn, message);
    (void)t.host->accept(bob, "file");
    return conn;
  };
  for (std::size_t i = 0; i < max_sessions_of_a_peer; ++i) ASSERT_NE(t.last<ConnectOk>(connect(i, t.alice)), nullptr);
  const ConnId refused = connect(max_sessions_of_a_peer, t.alice);
  ASSERT_NE(t.last<ConnectDenied>(refused), nullptr);
  EXPECT_EQ(t.last<ConnectDenied>(refused)->reason, ConnectDenial::backlog_full);
  EXPECT_NE(t.last<ConnectOk>(connect(max_sessions_of_a_peer + 1, t.mallory)), nullptr) << "others are not concerned";
}

}  // namespace
}  // namespace sessionfs::test
