// Endpoints, services, accepting, and who may connect or resume; the peer is played by hand.
#include "engine/host.hpp"

#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::seconds;

SessionId numbered(std::uint8_t number) { return SessionId{{number, 77}}; }

ConnId connect(RawHost& t, const EndpointName& peer, const SessionId& id, const std::string& service = "file") {
  const ConnId conn = t.incoming(peer);
  t.feed(conn, Connect{protocol_version, id, 1, 4096, service});
  return conn;
}

void expect_denied(RawHost& t, ConnId conn, ConnectDenial reason) {
  ASSERT_NE(t.last<ConnectDenied>(conn), nullptr);
  EXPECT_EQ(t.last<ConnectDenied>(conn)->reason, reason);
  EXPECT_TRUE(t.closed(conn));
}

// --- arriving and accepting ---------------------------------------------------------------------------------------

TEST(Accepting, FirstComeFirstServedUnderNamesOfTheirOwn) {
  RawHost t;
  for (std::uint8_t i = 1; i <= 3; ++i) (void)connect(t, i == 2 ? t.mallory : t.alice, numbered(i));
  EXPECT_EQ(t.arrivals, 3U);
  Endpoint& endpoint = *t.host->find_endpoint(t.bob);
  EXPECT_EQ(t.host->accept(endpoint, "file")->file_name(), "file~alice@home.test~1");
  const auto second = t.host->accept(endpoint, "file");
  EXPECT_EQ(second->file_name(), "file~mallory@home.test~1");
  EXPECT_TRUE(second->accepted());
  t.host->give_back(endpoint, second);
  EXPECT_FALSE(second->accepted());
  EXPECT_EQ(t.host->accept(endpoint, "file"), second);
  EXPECT_EQ(t.host->accept(endpoint, "file")->file_name(), "file~alice@home.test~2");
  EXPECT_EQ(t.host->accept(endpoint, "file"), nullptr);
  EXPECT_EQ(t.host->accept(endpoint, "none"), nullptr);
  t.pump();
  EXPECT_TRUE(t.store.load({t.bob, numbered(3), false})->accepted);
}

TEST(Accepting, ABacklogOf128IsFull) {
  RawHost t;
  for (std::uint8_t i = 0; i < max_backlog_sessions; ++i)
    ASSERT_NE(t.last<ConnectOk>(connect(t, t.alice, numbered(i))), nullptr);
  expect_denied(t, connect(t, t.alice, numbered(200)), ConnectDenial::backlog_full);
  (void)t.host->accept(*t.host->find_endpoint(t.bob), "file");
  EXPECT_NE(t.last<ConnectOk>(connect(t, t.alice, numbered(201))), nullptr);
}

TEST(Accepting, WhatTheBacklogLosesNobodySees) {
  RawHost t;
  const ConnId conn = connect(t, t.alice, t.id);
  t.feed(conn, Abort{});
  EXPECT_EQ(t.forgotten.size(), 1U);
  EXPECT_EQ(t.host->accept(*t.host->find_endpoint(t.bob), "file"), nullptr);
  EXPECT_TRUE(t.host->find_endpoint(t.bob)->sessions.empty());
}

TEST(Accepting, WhatThePeerHasEndedCanStillBeAcceptedAndRead) {
  RawHost t;
  const ConnId conn = connect(t, t.alice, t.id);
  t.feed_data(conn, 0, "last words");
  t.feed(conn, Close{10});
  t.feed(conn, Checkpoint{{0, 4096, true, false}});
  t.session = t.host->accept(*t.host->find_endpoint(t.bob), "file");
  ASSERT_TRUE(t.session);
  EXPECT_EQ(t.session->state(), State::closed);
  EXPECT_EQ(t.read(), "last words");
  EXPECT_TRUE(t.session->read_ended());
  t.with([&](Host& host) { host.close(*t.session, t.now); });
  EXPECT_EQ(t.forgotten.size(), 1U);
}

// --- refusing -----------------------------------------------------------------------------------------------------

TEST(Refusing, ANameThatNoFileCanHaveCostsNothing) {
  RawHost t;
  const std::string service(63, 's');
  (void)t.host->find_endpoint(t.bob)->services[service];
  // 63 + 1 + 200 + 2 bytes: more than NAME_MAX
  const std::string part(61, 'd');
  const auto peer = name_of(std::string(63, 'p') + "@" + part + "." + part + "." + std::string(12, 'd'));
  expect_denied(t, connect(t, peer, t.id, service), ConnectDenial::backlog_full);
  EXPECT_TRUE(t.store.empty());
  EXPECT_EQ(t.arrivals, 0U);
}

TEST(Refusing, UnknownServicesEndpointsAndVersions) {
  RawHost t;
  expect_denied(t, connect(t, t.alice, t.id, "print"), ConnectDenial::no_service);
  const ConnId stranger = t.host->handle_incoming(t.mallory, t.alice, t.now);
  t.feed(stranger, t.connect_message());
  expect_denied(t, stranger, ConnectDenial::not_here);
  Connect old = t.connect_message();
  old.version = protocol_version + 1;
  const ConnId conn = t.incoming(t.alice);
  t.feed(conn, old);
  expect_denied(t, conn, ConnectDenial::version);
  EXPECT_EQ(t.arrivals, 0U);
  EXPECT_TRUE(t.store.empty());
}

TEST(Refusing, ByTheRulesOfAccess) {
  RawHost t;
  t.host->find_endpoint(t.bob)->access = std::get<Access>(Access::parse("allow file alice@*\ndeny * *\n"));
  EXPECT_NE(t.last<ConnectOk>(connect(t, t.alice, numbered(1))), nullptr);
  expect_denied(t, connect(t, t.mallory, numbered(2)), ConnectDenial::access);
}

TEST(Refusing, WithoutMemoryForABuffer) {
  RawHost t;
  t.host = std::make_unique<Host>([](const EndpointName&, const SessionId&, bool) { return std::nullopt; });
  (void)t.host->add_endpoint(t.bob, 1, t.now).services["file"];
  expect_denied(t, connect(t, t.alice, t.id), ConnectDenial::backlog_full);
  EXPECT_EQ(
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now),
      nullptr);
}

TEST(Refusing, AWrongPeerTouchesNeitherTheSessionNorItsChannel) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.feed_data(channel, 0, "abc");
  const SessionImage before = t.session->image();
  for (const bool from_creator : {true, false})
    for (const std::uint64_t attempt : {std::uint64_t{1}, std::uint64_t{1} << 63}) {
      const ConnId conn = t.incoming(t.mallory);
      t.feed(conn, t.resume_message(attempt, from_creator));
      ASSERT_NE(t.last<ResumeDenied>(conn), nullptr);
      EXPECT_EQ(t.last<ResumeDenied>(conn)->reason, ResumeDenial::unknown);
      EXPECT_EQ(t.last<ResumeDenied>(conn)->held, 0U) << "says nothing of the session";
      EXPECT_TRUE(t.closed(conn));
    }
  const ConnId conn = t.incoming(t.mallory);
  t.feed(conn, t.connect_message());
  EXPECT_TRUE(t.closed(conn));
  EXPECT_EQ(encode(t.session->image()), encode(before));
  EXPECT_EQ(t.session->channel(), channel);
  EXPECT_FALSE(t.closed(channel));
  EXPECT_EQ(t.arrivals, 1U);
}

TEST(Refusing, AResumeOfNothingAndAtAnEndpointThatIsNotHere) {
  RawHost t;
  const ConnId conn = t.incoming(t.alice);
  t.feed(conn, t.resume_message(1, true));
  EXPECT_EQ(t.last<ResumeDenied>(conn)->reason, ResumeDenial::unknown);
  const ConnId elsewhere = t.host->handle_incoming(t.mallory, t.alice, t.now);
  t.feed(elsewhere, t.resume_message(1, true));
  EXPECT_EQ(t.last<ResumeDenied>(elsewhere)->reason, ResumeDenial::not_here);
}

// --- connections --------------------------------------------------------------------------------------------------

TEST(FirstMessage, MustComeWithinFiveSecondsAndOpenSomething) {
  RawHost t;
  const ConnId silent = t.incoming(t.alice);
  t.advance(first_message_timeout - std::chrono::milliseconds(1));
  EXPECT_FALSE(t.closed(silent));
  t.advance(std::chrono::milliseconds(1));
  EXPECT_TRUE(t.closed(silent));
  const Message wrong[] = {Checkpoint{{0, 1, false, false}},
                           Finish{0},
                           Close{0},
                           Suspend{},
                           ResumeOk{1, 0, {0, 1, false, false}},
                           ResumeDenied{ResumeDenial::gap, 0, 0, 7},
                           Ping{},
                           Abort{},
                           ConnectOk{1, 1},
                           ConnectDenied{ConnectDenial::access}};
  for (const auto& message : wrong) {
    const ConnId conn = t.incoming(t.alice);
    t.feed(conn, message);
    EXPECT_TRUE(t.closed(conn));
  }
  const ConnId data = t.incoming(t.alice);
  t.feed_data(data, 0, "x");
  EXPECT_TRUE(t.closed(data));
  EXPECT_FALSE(t.host->next_timeout());
}

TEST(FirstMessage, GarbageClosesTheConnectionAndNothingElse) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  const ConnId conn = t.incoming(t.mallory);
  t.host->handle_input(conn, Bytes(1000, std::byte{0xff}), t.now);
  t.pump();
  EXPECT_TRUE(t.closed(conn));
  t.feed_data(channel, 0, "fine");
  EXPECT_EQ(t.read(), "fine");
}

TEST(FirstMessage, OnTheChannelGarbageIsALossOfTheChannel) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.host->handle_input(channel, Bytes(1000, std::byte{0xff}), t.now);
  t.pump();
  EXPECT_TRUE(t.closed(channel));
  EXPECT_EQ(t.session->state(), State::ready_resume);
}

TEST(Connections, CallsAboutUnknownOnesChangeNothing) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  Transmit out;
  t.host->handle_dialled(999, t.now);
  t.host->handle_dial_failed(999, DialFailure::unreachable, t.now);
  t.host->handle_input(999, Frame(Ping{}).bytes(), t.now);
  t.host->handle_closed(999, t.now);
  EXPECT_FALSE(t.host->poll_transmit(999, out, t.now));
  t.pump();
  EXPECT_EQ(t.session->channel(), channel);
}

// --- going --------------------------------------------------------------------------------------------------------

TEST(Removing, AServiceClosesWhatNobodyHasAccepted) {
  RawHost t;
  const ConnId accepted = t.accept_from_alice();
  const ConnId waiting = connect(t, t.mallory, numbered(5));
  t.with([&](Host& host) { host.remove_service(*host.find_endpoint(t.bob), "file", t.now); });
  EXPECT_NE(t.last<Close>(waiting), nullptr);
  EXPECT_EQ(t.last<Close>(accepted), nullptr);
  EXPECT_EQ(t.session->state(), State::active);
  expect_denied(t, connect(t, t.alice, numbered(6)), ConnectDenial::no_service);
}

TEST(Removing, AnEndpointIsGoneForEverybodyButDeliversWhatWasWritten) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.write("last words");
  t.cut(channel);
  t.with([&](Host& host) { host.remove_endpoint(t.bob, t.now); });
  EXPECT_EQ(t.host->find_endpoint(t.bob), nullptr);
  expect_denied(t, connect(t, t.alice, numbered(1)), ConnectDenial::not_here);
  const ConnId conn = t.answer_next_dial();
  t.feed(conn, ResumeOk{7, 0, {0, 4096, false, false}});
  EXPECT_EQ(t.conns[conn].data, "last words");
  ASSERT_NE(t.last<Close>(conn), nullptr);
  t.feed(conn, Finish{0});
  t.feed(conn, Checkpoint{{10, 4106, true, true}});
  EXPECT_EQ(t.forgotten.size(), 1U);
  t.advance(seconds(60));
  EXPECT_FALSE(t.host->next_timeout());
}

TEST(Removing, ANewEndpointOfTheSameNameHasNothingOfTheOld) {
  RawHost t;
  (void)t.accept_from_alice();
  t.write("never delivered");
  t.with([&](Host& host) { host.remove_endpoint(t.bob, t.now); });
  t.with([&](Host& host) { (void)host.add_endpoint(t.bob, 1, t.now); });
  EXPECT_EQ(t.forgotten.size(), 1U);
  const Endpoint& fresh = *t.host->find_endpoint(t.bob);
  EXPECT_TRUE(fresh.sessions.empty() && fresh.services.empty() && fresh.tombstones.empty());
}

TEST(Removing, TombstonesAreBounded) {
  RawHost t;
  Endpoint& endpoint = *t.host->find_endpoint(t.bob);
  endpoint.tombstones.resize(max_tombstones, Tombstone{numbered(1), t.alice, false, 0, 0});
  const ConnId channel = t.accept_from_alice();
  t.feed(channel, Close{0});
  t.with([&](Host& host) { host.close(*t.session, t.now); });
  t.feed(channel, Checkpoint{{0, 4096, true, true}});
  ASSERT_EQ(t.forgotten.size(), 1U);
  EXPECT_EQ(endpoint.tombstones.size(), max_tombstones);
  EXPECT_EQ(endpoint.tombstones.back().id, t.id);
}

}  // namespace
}  // namespace sessionfs::test
