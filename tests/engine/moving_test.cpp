// An endpoint that goes on at another host, and copies of it that must not.
#include "tests/sim/flow.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::minutes;

const EndpointName alice = endpoint_name("alice@home.test");
const EndpointName bob = endpoint_name("bob@work.test");

class Moving : public ::testing::Test {
 protected:
  Moving() {
    world.trace = std::getenv("SESSIONFS_TRACE") != nullptr;
    world.add_endpoint(0, alice, {"file"});
    world.add_endpoint(1, bob, {"file"});
    flow = &flows.add(0, alice, 1, bob, "file", 3000000, 3000000);
    flows.start(*flow);
    EXPECT_TRUE(world.run_until([&] { return flow->ends[0].read > 0 && flow->ends[1].read > 0; }, minutes(1)));
  }
  void expect_all_read() {
    EXPECT_TRUE(world.run_until([&] { return flows.done(); }, minutes(5))) << flows.describe();
    EXPECT_EQ(flow->ends[0].read, 3000000U);
    EXPECT_EQ(flow->ends[1].read, 3000000U);
  }

  World world{1, 3};
  Flows flows{world};
  Flow* flow = nullptr;
};

TEST_F(Moving, TheStreamGoesOnAtTheNewHost) {
  flows.move(1, 2);
  world.run_for(seconds(2));
  EXPECT_EQ(flow->ends[1].session->image().generation, 2U);
  EXPECT_EQ(flow->ends[0].session->image().peer_generation, 2U);
  flows.move(0, 1);
  expect_all_read();
}

TEST_F(Moving, AnOlderResidenceThatComesBackIsSupersededAndTouchesNothing) {
  ASSERT_FALSE(flow->ends[1].closed);
  Node& former = *world.nodes[1];
  auto copy = former.store->copy();
  const auto endpoints = former.endpoints;
  flows.move(1, 2);
  ASSERT_TRUE(world.run_until(
      [&] { return flow->ends[0].session && flow->ends[0].session->image().peer_generation == 2; }, minutes(1)));
  // The former host starts again with what it had, and does not know.
  world.crash(1, false);
  former.store = std::move(copy);
  former.endpoints = endpoints;
  world.restart(1);
  const auto& sessions = world.host(1).find_endpoint(bob)->sessions;
  ASSERT_EQ(sessions.size(), 1U);
  const auto stale = sessions.begin()->second;
  ASSERT_TRUE(world.run_until([&] { return stale->state() == State::closed; }, minutes(1)));
  EXPECT_EQ(stale->failure(), Failure::superseded);
  expect_all_read();
}

TEST_F(Moving, AnOlderCopyThatTakesOverIsAGapOnBothSides) {
  Node& node = *world.nodes[1];
  auto copy = node.store->copy();
  world.run_for(milliseconds(300));
  ASSERT_FALSE(flow->ends[1].closed);
  flow->may_fail = true;
  world.storage_goes_back = true;
  world.crash(1, true);
  node.store = std::move(copy);
  node.endpoints[bob].generation = 2;
  flow->ends[1].read = node.store->load({bob, flow->id, false})->received.read;
  flow->ends[1].written = node.store->load({bob, flow->id, false})->sent.written;
  flow->ends[1].session.reset();
  world.restart(1);
  const std::array sessions{flow->ends[0].session, flow->ends[1].session};
  ASSERT_TRUE(world.run_until(
      [&] {
        return std::ranges::all_of(sessions, [](const auto& session) { return session->failure() != Failure::none; });
      },
      minutes(1)));
  for (const auto& session : sessions) EXPECT_EQ(session->failure(), Failure::lost);
}

// --- in its record ------------------------------------------------------------------------------------------------

TEST_F(Moving, TheStreamGoesOnFromTheRecord) {
  const auto left = flows.leave(1, bob);
  ASSERT_TRUE(left);
  world.run_for(minutes(3));
  EXPECT_EQ(flow->ends[0].session->state(), State::ready_resume);
  flows.arrive(*left, 2, false);
  expect_all_read();
}

TEST_F(Moving, ItMayComeBackAndBothMayTravel) {
  for (const std::size_t to : {2U, 1U}) {
    const auto left = flows.leave(flow->ends[1].node, bob);
    const auto also_left = flows.leave(flow->ends[0].node, alice);
    ASSERT_TRUE(left && also_left);
    flows.arrive(*left, to, false);
    flows.arrive(*also_left, 3 - to, false);
    world.run_for(milliseconds(500));
  }
  expect_all_read();
}

// The former residence is asked first, and what it hands over is newer than the copy.
TEST_F(Moving, ACopyLosesNothingWhereTheFormerResidenceHandsOver) {
  const auto copy = flows.copy(1, bob);
  world.run_for(milliseconds(300));
  const auto latest = flows.leave(1, bob);
  ASSERT_TRUE(latest);
  EXPECT_NE(latest->record, copy.record);
  flows.arrive(*latest, 2, false);
  expect_all_read();
}

// It has gone on, and goes on, with a peer that does not know of the copy yet.
TEST_F(Moving, ACopyThatThePeerHasMovedPastIsLostOnBothSides) {
  const auto copy = flows.copy(1, bob);
  world.run_for(milliseconds(300));
  ASSERT_FALSE(flow->ends[0].closed);
  const auto peer = flow->ends[0].session;
  flows.arrive(copy, 2, true);
  const auto loaded = flow->ends[1].session;
  ASSERT_TRUE(peer && loaded);
  ASSERT_TRUE(world.run_until([&] { return peer->failure() != Failure::none && loaded->failure() != Failure::none; },
                              minutes(1)));
  EXPECT_EQ(peer->failure(), Failure::lost);
  EXPECT_EQ(loaded->failure(), Failure::lost);
}

// Begun after the copy was made.
TEST_F(Moving, ASessionThatTheCopyDoesNotKnowIsLostAtThePeer) {
  const auto copy = flows.copy(1, bob);
  Flow& later = flows.add(0, alice, 1, bob, "file", 1000000, 0);
  flows.start(later);
  ASSERT_TRUE(world.run_until([&] { return later.ends[1].read > 0; }, minutes(1)));
  const auto peer = later.ends[0].session;
  flows.arrive(copy, 2, true);
  world.drop(1, bob);
  ASSERT_TRUE(world.run_until([&] { return peer->failure() != Failure::none; }, minutes(2)));
  EXPECT_EQ(peer->failure(), Failure::lost);
}

}  // namespace
}  // namespace sessionfs::test
