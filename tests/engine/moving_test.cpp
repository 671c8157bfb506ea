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

}  // namespace
}  // namespace sessionfs::test
