// Endpoints that come again, and what is left of their sessions.
#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

TEST(Residence, OneThatIsThereKeepsItsSessionsWhenItIsAddedAgain) {
  RawHost t;
  const ConnId channel = t.accept_from_alice();
  t.with([&](Host& host) { (void)host.add_endpoint(t.bob, 4, t.now); });
  const Endpoint& bob = *t.host->find_endpoint(t.bob);
  EXPECT_EQ(bob.generation, 4U);
  EXPECT_EQ(bob.sessions.size(), 1U);
  EXPECT_EQ(bob.services.size(), 1U);
  EXPECT_EQ(t.session->channel(), channel);
  EXPECT_FALSE(t.closed(channel));
}

TEST(Residence, ANewOneDropsNothingOfItsNeighbours) {
  RawHost t;
  (void)t.accept_from_alice();
  (void)t.host->add_endpoint(t.mallory, 1, t.now).services["file"];
  const ConnId neighbour = t.host->handle_incoming(t.mallory, t.alice, t.now);
  t.feed(neighbour, t.connect_message());
  ASSERT_NE(t.last<ConnectOk>(neighbour), nullptr);
  t.with([&](Host& host) {
    host.remove_endpoint(t.bob, t.now);
    (void)host.add_endpoint(t.bob, 4, t.now);
  });
  EXPECT_EQ(t.forgotten.size(), 1U);
  EXPECT_EQ(t.last<Abort>(neighbour), nullptr);
  EXPECT_FALSE(t.closed(neighbour));
  EXPECT_EQ(t.host->find_endpoint(t.mallory)->sessions.size(), 1U);
}

TEST(Residence, TheNameOfAClosedSessionBelongsToTheNextOne) {
  RawHost t;
  (void)t.connect_to_alice();
  t.write("on its way");
  const auto old = t.session;
  t.with([&](Host& host) { host.close(*old, t.now); });
  ASSERT_TRUE(t.forgotten.empty());
  Endpoint& bob = *t.host->find_endpoint(t.bob);
  const auto next = t.host->connect(bob, DialName::parse("file.alice@home.test").value(), SessionId{{9, 9}}, 1, t.now);
  t.pump();
  ASSERT_EQ(old->file_name(), next->file_name());
  t.with([&](Host& host) { host.abort(*old, t.now); });
  ASSERT_TRUE(bob.sessions.contains(next->file_name()));
  EXPECT_EQ(bob.sessions.at(next->file_name()), next);
}

// Its name was read in part only, and somebody has removed it meanwhile.
TEST(Residence, WhatWasClosedMeanwhileIsNotGivenBack) {
  RawHost t;
  (void)t.accept_from_alice();
  t.with([&](Host& host) { host.close(*t.session, t.now); });
  Endpoint& bob = *t.host->find_endpoint(t.bob);
  t.with([&](Host& host) { host.give_back(bob, t.session); });
  EXPECT_EQ(t.host->accept(bob, "file"), nullptr);
}

// A service goes with a session in its backlog, and the daemon is killed before the peer knows of the end.
TEST(Residence, WhatNobodyHasAcceptedIsNotOfferedAgainOnceItIsClosed) {
  RawHost t;
  const ConnId conn = t.incoming(t.alice);
  t.feed(conn, t.connect_message());
  t.with([&](Host& host) { host.remove_service(*host.find_endpoint(t.bob), "file", t.now); });
  const auto image = t.store.load({t.bob, t.id, false});
  ASSERT_TRUE(image);
  ASSERT_TRUE(image->detached && !image->accepted);
  Host later([](const EndpointName&, const SessionId&, bool) { return std::nullopt; });
  Endpoint& endpoint = later.add_endpoint(t.bob, 3, t.now);
  endpoint.services["file"];
  const auto session = later.restore(endpoint, *image, t.store.memories({t.bob, t.id, false}), 1, t.now);
  EXPECT_EQ(later.accept(endpoint, "file"), nullptr);
  EXPECT_TRUE(endpoint.sessions.empty());
  EXPECT_EQ(session->state(), State::ready_resume) << "its end is still to be said";
}

TEST(Residence, EachSideOfASessionWithOneselfHasATombstoneOfItsOwn) {
  RawHost t;
  auto& tombstones = t.host->find_endpoint(t.bob)->tombstones;
  tombstones.push_back({t.id, t.bob, true, 10, 20});
  tombstones.push_back({t.id, t.bob, false, 20, 10});
  for (const bool from_creator : {false, true}) {
    const ConnId conn = t.incoming(t.bob);
    t.feed(conn, t.resume_message(1, from_creator));
    const auto* denied = t.last<ResumeDenied>(conn);
    ASSERT_NE(denied, nullptr);
    EXPECT_EQ(denied->reason, ResumeDenial::closed);
    EXPECT_EQ(denied->held, from_creator ? 20U : 10U);
    EXPECT_EQ(denied->end, from_creator ? 10U : 20U);
  }
  // A CONNECT that is late meets the tombstone of the side that would have taken it.
  const ConnId late = t.incoming(t.bob);
  t.feed(late, t.connect_message());
  EXPECT_TRUE(t.closed(late));
  EXPECT_EQ(t.arrivals, 0U);
}

}  // namespace
}  // namespace sessionfs::test
