// Bytes and checkpoints of one session; the peer is played by hand.
#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Stream, DataIsReadableOnceItIsStored) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "hello ");
  t.feed_data(channel, 6, "world");
  EXPECT_EQ(t.store.load({t.bob, t.id, false})->received.held, 11U);
  EXPECT_EQ(t.read(), "hello world");
  EXPECT_FALSE(t.session->read_ended());
}

TEST(Stream, KnownBytesAreSkippedAndAHoleIsAViolation) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "hello");
  t.feed_data(channel, 3, "lo you");
  t.feed_data(channel, 0, "hell");
  EXPECT_EQ(t.read(), "hello you");
  t.feed_data(channel, 10, "x");
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_EQ(t.session->recv_buffer().received(), 9U);
}

TEST(Stream, BytesBeyondTheLimitAreAViolation) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, std::string(RawHost::capacity_bytes, 'x'));
  EXPECT_FALSE(t.closed(channel));
  t.feed_data(channel, RawHost::capacity_bytes, "y");
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.session->state(), State::ready_resume);
}

TEST(Stream, BytesBehindTheEndAndASecondEndAreViolations) {
  const std::function<void(RawHost&, ConnId)> cases[] = {
      [](RawHost& t, ConnId conn) { t.feed_data(conn, 3, "x"); },
      [](RawHost& t, ConnId conn) { t.feed(conn, Finish{4}); },
      [](RawHost& t, ConnId conn) { t.feed(conn, Close{2}); },
      [](RawHost& t, ConnId conn) {
        t.feed(conn, Checkpoint{{1, 4096, false, false}});
      },
      [](RawHost& t, ConnId conn) {
        t.feed(conn, Checkpoint{{0, 4096, true, false}});
      },
      [](RawHost& t, ConnId conn) {
        t.feed(conn, ConnectOk{7, 4096});
      },
      [](RawHost& t, ConnId conn) { t.feed(conn, t.resume_message(1, true)); },
      [](RawHost& t, ConnId conn) {
        t.feed(conn, ResumeOk{7, 0, {0, 4096, false, false}});
      },
  };
  for (const auto& violate : cases) {
    RawHost t;
    const ConnId channel = t.accept_from_alice();
    t.feed_data(channel, 0, "abc");
    t.feed(channel, Finish{3});
    ASSERT_FALSE(t.closed(channel));
    violate(t, channel);
    EXPECT_TRUE(t.closed(channel));
    EXPECT_EQ(t.session->state(), State::ready_resume);
    EXPECT_EQ(t.read(), "abc");
    EXPECT_TRUE(t.session->read_ended());
  }
}

TEST(Stream, NothingIsSentBeyondThePeersLimit) {
  RawHost t;
  const ConnId conn = t.incoming(t.alice);
  Connect connect = t.connect_message();
  connect.limit = 4;
  t.feed(conn, connect);
  t.session = t.host->accept(*t.host->find_endpoint(t.bob), "file");
  EXPECT_EQ(t.write("0123456789"), 10U);
  EXPECT_EQ(t.conns[conn].data, "0123");
  t.feed(conn, Checkpoint{{2, 7, false, false}});
  EXPECT_EQ(t.conns[conn].data, "0123456");
  t.feed(conn, Checkpoint{{2, 5, false, false}});  // an old one, late
  EXPECT_EQ(t.session->send_buffer().limit(), 7U);
  t.feed(conn, Checkpoint{{7, 100, false, false}});
  EXPECT_EQ(t.conns[conn].data, "0123456789");
}

TEST(Stream, WriteTakesWhatFitsAndGoesOnWhenThePeerHoldsIt) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  EXPECT_EQ(t.write(std::string(5000, 'a')), RawHost::capacity_bytes);
  EXPECT_EQ(t.write("b"), 0U);
  t.feed(channel, Checkpoint{{100, 100 + 4096, false, false}});
  EXPECT_EQ(t.write(std::string(200, 'b')), 100U);
}

// --- checkpoints --------------------------------------------------------------------------------------------------

TEST(Checkpoints, FiftyMillisecondsAfterTheFirstUnannouncedByte) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "a");
  t.advance(milliseconds(30));
  t.feed_data(channel, 1, "b");
  t.advance(milliseconds(19));
  EXPECT_EQ(t.count<Checkpoint>(channel), 0U);
  t.advance(milliseconds(1));
  ASSERT_EQ(t.count<Checkpoint>(channel), 1U);
  EXPECT_EQ(t.last<Checkpoint>(channel)->progress.held, 2U);
  EXPECT_EQ(t.session->checkpoints(), 1U);
}

TEST(Checkpoints, AQuarterOfTheWindowIsAnnouncedAtOnce) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, std::string(1023, 'x'));
  EXPECT_EQ(t.count<Checkpoint>(channel), 0U);
  t.feed_data(channel, 1023, "x");
  ASSERT_EQ(t.count<Checkpoint>(channel), 1U);
  EXPECT_EQ(t.last<Checkpoint>(channel)->progress.held, 1024U);
  EXPECT_EQ(t.last<Checkpoint>(channel)->progress.limit, 4096U);
  // Reading opens the window: the limit is announced by the same rule.
  EXPECT_EQ(t.read().size(), 1024U);
  ASSERT_EQ(t.count<Checkpoint>(channel), 2U);
  EXPECT_EQ(t.last<Checkpoint>(channel)->progress.limit, 5120U);
}

TEST(Checkpoints, APingIsAnsweredAtOnce) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "a");
  t.feed(channel, Ping{});
  ASSERT_EQ(t.count<Checkpoint>(channel), 1U);
  EXPECT_EQ(t.last<Checkpoint>(channel)->progress.held, 1U);
}

TEST(Checkpoints, AreAskedForBehindTheDataAndOnlyWhenSomethingIsMissing) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.with([&](Host& host) { host.request_checkpoint(*t.session, t.now); });
  EXPECT_EQ(t.count<Ping>(channel), 0U);
  t.write("hello");
  t.with([&](Host& host) { host.request_checkpoint(*t.session, t.now); });
  EXPECT_EQ(t.conns[channel].data, "hello");
  EXPECT_EQ(t.count<Ping>(channel), 1U);
  EXPECT_FALSE(t.session->delivered(5));
  t.feed(channel, Checkpoint{{5, 4101, false, false}});
  EXPECT_TRUE(t.session->delivered(5));
}

TEST(Checkpoints, NothingIsAnnouncedBeforeItIsStored) {
  // The driver of this test stores by itself, late.
  MemoryStore store(4096);
  Host host([&](const EndpointName& local, const SessionId& id, bool creator) {
    return std::optional(store.make({local, id, creator}));
  });
  const EndpointName bob = name_of("bob@work.test");
  Time now = seconds(1);
  (void)host.add_endpoint(bob, 1, now).services["file"];
  const ConnId conn = host.handle_incoming(bob, name_of("alice@home.test"), now);
  host.handle_input(conn, Frame(Connect{protocol_version, SessionId{{9}}, 1, 4096, "file"}).bytes(), now);
  const auto session = host.accept(*host.find_endpoint(bob), "file");
  while (host.poll_action()) {
  }
  Transmit out;
  while (host.poll_transmit(conn, out, now)) {
  }
  const std::string text(2000, 'x');
  const auto header = data_header(0, text.size());
  host.handle_input(conn, header, now);
  host.handle_input(conn, std::as_bytes(std::span(text)), now);
  host.handle_input(conn, Frame(Ping{}).bytes(), now);
  EXPECT_EQ(session->readable(10)[0].size(), 0U);
  const auto action = host.poll_action();
  ASSERT_TRUE(action);
  EXPECT_EQ(action->kind, Action::Kind::store) << "before everything else";
  ASSERT_TRUE(host.poll_transmit(conn, out, now));
  EXPECT_EQ(
      std::get<Checkpoint>(*decode(MessageType::checkpoint, out.head().subspan(frame_header_bytes))).progress.held, 0U);
  store.save(*session);
  EXPECT_EQ(store.load(key_of(*session))->received.held, 2000U);
  host.handle_stored(*session, 2000, now);
  ASSERT_TRUE(host.poll_transmit(conn, out, now));
  EXPECT_EQ(
      std::get<Checkpoint>(*decode(MessageType::checkpoint, out.head().subspan(frame_header_bytes))).progress.held,
      2000U);
}

// --- reading ------------------------------------------------------------------------------------------------------

TEST(Reading, IsStored) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "abcdef");
  t.with([&](Host& host) { host.consume(*t.session, 4, t.now); });
  EXPECT_EQ(t.store.load({t.bob, t.id, false})->received.read, 4U);
  EXPECT_EQ(t.read(), "ef");
}

TEST(Reading, EndsWhereThePeerHasFinishedAndNotBefore) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed(channel, Finish{6});
  t.feed_data(channel, 0, "abc");
  EXPECT_EQ(t.read(), "abc");
  EXPECT_FALSE(t.session->read_ended());
  t.feed_data(channel, 3, "def");
  EXPECT_TRUE(t.last<Checkpoint>(channel)->progress.has_finish);
  EXPECT_FALSE(t.session->read_ended());
  EXPECT_EQ(t.read(), "def");
  EXPECT_TRUE(t.session->read_ended());
}

TEST(Reading, TheCloseOfThePeerEndsTheWriting) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("hello");
  t.feed_data(channel, 0, "abc");
  t.feed(channel, Close{3});
  EXPECT_TRUE(t.session->write_ended());
  EXPECT_EQ(t.write("more"), 0U);
  EXPECT_EQ(t.last<Finish>(channel)->offset, 5U);
  EXPECT_EQ(t.read(), "abc");
  EXPECT_TRUE(t.session->read_ended());
}

TEST(Reading, AClosedSideTakesAndDropsWhatStillComes) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "abc");
  t.with([&](Host& host) { host.close(*t.session, t.now); });
  for (std::uint64_t at = 3; at < 20000; at += 1000) t.feed_data(channel, at, std::string(1000, 'x'));
  EXPECT_FALSE(t.closed(channel));
  EXPECT_EQ(t.session->recv_buffer().readable_bytes(), 0U);
  EXPECT_TRUE(t.host->find_endpoint(t.bob)->sessions.empty());
}

// --- stored and restored ------------------------------------------------------------------------------------------

TEST(Restored, AClosedSideStillDropsWhatItHoldsAfterARestart) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "abc");
  SessionImage image = t.session->image();
  image.detached = true;
  image.end = 0;
  const auto session = Session::restore(image, t.store.memories({t.bob, t.id, false}), 1, t.now);
  EXPECT_EQ(session->recv_buffer().read(), 3U);
  EXPECT_EQ(session->state(), State::ready_resume);
}

TEST(Restored, ASessionThatNeverStoodIsOver) {
  RawHost t;
  t.session =
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
  t.pump();
  const auto image = t.store.load({t.bob, t.id, true});
  ASSERT_TRUE(image);
  const auto session = Session::restore(*image, t.store.memories({t.bob, t.id, true}), 1, t.now);
  EXPECT_EQ(session->state(), State::closed);
  EXPECT_NE(session->failure(), Failure::none);
  EXPECT_TRUE(session->gone());
}

TEST(Restored, GoesOnInTheGenerationOfItsEndpoint) {
  RawHost t;
  (void)t.accept_from_alice();
  const auto image = t.store.load({t.bob, t.id, false});
  Host later([](const EndpointName&, const SessionId&, bool) { return std::nullopt; });
  Endpoint& endpoint = later.add_endpoint(t.bob, 4, t.now);
  later.restore(endpoint, *image, t.store.memories({t.bob, t.id, false}), 1, t.now);
  ASSERT_EQ(endpoint.sessions.size(), 1U);
  EXPECT_EQ(endpoint.sessions.begin()->second->image().generation, 4U);
}

}  // namespace
}  // namespace sessionfs::test
