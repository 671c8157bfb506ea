// Two real hosts and what may come between them, one thing at a time.
#include "tests/sim/flow.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const EndpointName alice = endpoint_name("alice@home.test");
const EndpointName bob = endpoint_name("bob@work.test");
const EndpointName carol = endpoint_name("carol@work.test");

class Transfer : public ::testing::Test {
 protected:
  Transfer() {
    world.trace = std::getenv("SESSIONFS_TRACE") != nullptr;
    world.record = true;
    world.add_endpoint(0, alice, {"file"});
    world.add_endpoint(1, bob, {"file"});
  }

  Flow& start(std::uint64_t out, std::uint64_t back) {
    Flow& flow = flows.add(0, alice, 1, bob, "file", out, back);
    for (auto& end : flow.ends) end.pause_percent = 0;
    flows.start(flow);
    return flow;
  }
  /// All is delivered and closed, both hosts have forgotten, and nothing goes on.
  void expect_end(Duration limit = minutes(2)) {
    EXPECT_TRUE(world.run_until(
        [&] {
          return flows.done() && std::ranges::all_of(world.nodes, [](auto& node) { return node->store->empty(); });
        },
        limit))
        << flows.describe();
    world.run_for(minutes(1));
    EXPECT_TRUE(world.idle());
  }
  void expect_all_read(const Flow& flow) {
    EXPECT_EQ(flow.ends[0].read, flow.ends[1].total);
    EXPECT_EQ(flow.ends[1].read, flow.ends[0].total);
  }
  bool until_standing(const Flow& flow) {
    return world.run_until(
        [&] { return flow.ends[1].session && flow.ends[0].session && flow.ends[0].session->state() == State::active; },
        minutes(1));
  }
  /// Bytes go both ways, and will for some time.
  void until_flowing(const Flow& flow) {
    ASSERT_TRUE(world.run_until(
        [&] {
          return flow.ends[0].session && flow.ends[1].session && flow.ends[0].read > 0 && flow.ends[1].read > 0 &&
                 flow.ends[0].session->state() == State::active;
        },
        minutes(1)));
    ASSERT_FALSE(world.pipes().empty());
  }
  template <typename T>
  std::size_t count(std::size_t node, Time since = {}) {
    return static_cast<std::size_t>(std::ranges::count_if(world.sent, [&](const Sent& sent) {
      return sent.node == node && sent.at >= since && std::holds_alternative<T>(sent.message);
    }));
  }
  void write(FlowEnd& end, std::size_t count) {
    world.with(end.node, [&](Host& host) {
      EXPECT_EQ(host.write(*end.session, Bytes(count, std::byte{1}), world.now()), count);
    });
  }

  World world{1, 2};
  Flows flows{world};
};

TEST_F(Transfer, BothWaysThenFinishAndClose) {
  Flow& flow = start(100000, 70000);
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, NothingAtAll) {
  start(0, 0);
  expect_end();
}

TEST_F(Transfer, AFlowThatOnlyWritesIsConfirmedWithoutTheOthersBytes) {
  Flow& flow = start(1, 0);
  ASSERT_TRUE(world.run_until([&] { return flow.ends[1].read == 1; }, seconds(1)));
  expect_end(seconds(2));
}

TEST_F(Transfer, TwoSidesThatOnlyWriteDoNotLockEachOther) {
  Flow& flow = start(200000, 200000);
  for (auto& end : flow.ends) end.paused = true;
  ASSERT_TRUE(world.run_until([&] { return flow.ends[0].session->state() == State::active; }, seconds(5)));
  std::array<std::shared_ptr<Session>, 2> sessions{flow.ends[0].session, nullptr};
  world.run_for(seconds(1));
  sessions[1] = flow.ends[1].session;
  for (const auto& session : sessions)
    world.with(session->creator() ? 0 : 1, [&](Host& host) {
      Bytes bytes(session->send_buffer().space());
      const std::size_t writer = session->creator() ? 0 : 1;
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = stream_byte(flow.salt(writer), i);
      EXPECT_EQ(host.write(*session, bytes, world.now()), bytes.size());
    });
  world.run_for(minutes(5));
  // Both windows are full and nobody reads; yet what was sent is confirmed, and the channel lives.
  for (const auto& session : sessions) {
    EXPECT_EQ(session->state(), State::active);
    EXPECT_EQ(session->send_buffer().acked(), session->recv_buffer().capacity());
    EXPECT_EQ(session->recv_buffer().readable_bytes(), session->recv_buffer().capacity());
  }
  for (std::size_t i : {0U, 1U}) {
    flow.ends[i].paused = false;
    world.with(i, [&](Host&) { flows.run(flow, i); });
  }
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, FsyncDoesNotWaitForTheCheckpointTimer) {
  Flow& flow = start(100, 0);
  for (auto& end : flow.ends) end.paused = true;
  ASSERT_TRUE(world.run_until([&] { return flow.ends[0].session->state() == State::active; }, seconds(5)));
  world.run_for(seconds(1));
  world.most_delay = world.least_delay;
  const Session& session = *flow.ends[0].session;
  const Duration delay = world.pipes().front()->delay;
  write(flow.ends[0], 100);
  world.with(0, [&](Host& host) { host.request_checkpoint(*flow.ends[0].session, world.now()); });
  const Time from = world.now();
  ASSERT_TRUE(world.run_until([&] { return session.delivered(100); }, seconds(1)));
  EXPECT_EQ(world.now() - from, 2 * delay);
}

TEST_F(Transfer, ToAnEndpointsOwnService) {
  Flow& flow = flows.add(0, alice, 0, alice, "file", 50000, 40000);
  flows.start(flow);
  ASSERT_TRUE(until_standing(flow));
  world.cut(world.pipes().front(), World::Told::both);
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, BetweenTwoEndpointsOfOneHost) {
  world.add_endpoint(1, carol);
  Flow& one = flows.add(1, carol, 1, bob, "file", 50000, 40000);
  Flow& other = flows.add(1, carol, 0, alice, "file", 30000, 20000);
  flows.start(one);
  flows.start(other);
  expect_end();
  expect_all_read(one);
  expect_all_read(other);
}

TEST_F(Transfer, ManyAtOnce) {
  for (std::size_t i = 0; i < 100; ++i) {
    Flow& flow = flows.add(i % 2, i % 2 ? bob : alice, 1 - i % 2, i % 2 ? alice : bob, "file", 100 * i, 50 * i);
    flows.start(flow);
  }
  expect_end();
  for (const auto& flow : flows.flows) expect_all_read(*flow);
}

// --- losses -------------------------------------------------------------------------------------------------------

TEST_F(Transfer, BothSidesLearnAtOnceAndResumeAtOnce) {
  Flow& flow = start(2000000, 2000000);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(world.run_until([&] { return flow.ends[0].session->state() == State::active; }, minutes(1)));
    world.run_for(milliseconds(1200));
    if (flow.ends[0].closed) break;
    world.cut(world.pipes().front(), World::Told::both);
    ASSERT_TRUE(world.run_until([&] { return flow.ends[0].session->state() != State::active; }, seconds(1)));
  }
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, TheCreatorsResumeWinsWhenBothCross) {
  Flow& flow = start(500000, 500000);
  for (auto& end : flow.ends) end.pause_percent = 100;
  world.run_for(seconds(3));
  ASSERT_FALSE(flow.ends[0].closed);
  world.least_delay = world.most_delay = milliseconds(10);
  world.sent.clear();
  world.cut(world.pipes().front(), World::Told::both);
  ASSERT_TRUE(world.run_until([&] { return count<ResumeOk>(0) + count<ResumeOk>(1) > 0; }, seconds(5)));
  EXPECT_EQ(count<Resume>(0), 1U);
  EXPECT_EQ(count<Resume>(1), 1U);
  world.run_for(seconds(1));
  EXPECT_EQ(count<ResumeOk>(1), 1U);
  EXPECT_EQ(count<ResumeOk>(0), 0U);
  expect_end(minutes(10));
  expect_all_read(flow);
}

TEST_F(Transfer, ALossThatNobodyIsToldOfIsFoundByItsSilence) {
  Flow& flow = start(500000, 500000);
  until_flowing(flow);
  World::lose_silently(world.pipes().front(), true, true);
  const Time from = world.now();
  ASSERT_TRUE(world.run_until([&] { return flow.ends[0].session->state() != State::active; }, seconds(10)));
  EXPECT_LE(world.now() - from, unacked_silence_limit + seconds(1));
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, APeerThatIsAwayForDays) {
  Flow& flow = start(1000000, 1000000);
  until_flowing(flow);
  world.crash(1, true);
  world.run_for(hours(50));
  EXPECT_EQ(flow.ends[0].session->state(), State::ready_resume);
  world.restart(1);
  const Time from = world.now();
  ASSERT_TRUE(world.run_until([&] { return flow.ends[0].session->state() == State::active; }, minutes(1)));
  EXPECT_LE(world.now() - from, last_retry_delay);
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, AnAddressThatComesBackAfterADay) {
  Flow& flow = start(1000000, 1000000);
  until_flowing(flow);
  for (auto& node : world.nodes) node->refuses = true;
  World::lose_silently(world.pipes().front(), true, true);
  world.run_for(hours(24));
  for (auto& end : flow.ends) EXPECT_EQ(end.session->state(), State::ready_resume);
  for (auto& node : world.nodes) node->refuses = false;
  world.with(1, [&](Host& host) { host.handle_network_change(world.now()); });
  ASSERT_TRUE(world.run_until([&] { return flow.ends[0].session->state() == State::active; }, seconds(1)))
      << "nobody waits for the next try when the network tells";
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, TheLastCheckpointIsLostAndATombstoneAnswers) {
  Flow& flow = start(0, 0);
  for (auto& end : flow.ends) end.paused = true;
  ASSERT_TRUE(until_standing(flow));
  const auto close = [&](FlowEnd& end) {
    world.with(end.node, [&](Host& host) { host.close(*end.session, world.now()); });
    end.closed = true;
  };
  const Session& left = *flow.ends[1].session;
  close(flow.ends[0]);
  ASSERT_TRUE(world.run_until([&] { return left.write_ended(); }, seconds(1)));
  // Bob's FINISH completes alice's side; that she has it he does not learn.
  const auto pipe = world.pipes().front();
  World::lose_silently(pipe, pipe->sides[0].node == 1, pipe->sides[1].node == 1);
  ASSERT_TRUE(world.run_until([&] { return world.nodes[0]->store->empty(); }, seconds(1)));
  EXPECT_EQ(left.state(), State::active);
  world.sent.clear();
  ASSERT_TRUE(world.run_until([&] { return left.state() == State::closed; }, minutes(1)));
  EXPECT_EQ(count<ResumeDenied>(0), 1U);
  EXPECT_EQ(left.failure(), Failure::none);
  close(flow.ends[1]);
  expect_end();
}

TEST_F(Transfer, AClosedSessionDeliversWhatWasWrittenWhateverComesBetween) {
  Flow& flow = start(10000, 0);
  flow.ends[0].ending = Ending::close;
  flow.ends[0].paused = true;
  ASSERT_TRUE(until_standing(flow));
  World::lose_silently(world.pipes().front(), true, true);
  flow.ends[0].paused = false;
  world.with(0, [&](Host&) { flows.run(flow, 0); });
  ASSERT_TRUE(flow.ends[0].closed);
  EXPECT_TRUE(world.host(0).find_endpoint(alice)->sessions.empty());
  EXPECT_EQ(world.nodes[0]->store->load({alice, flow.id, true})->sent.acked, 0U);
  world.crash(0, false);
  world.run_for(minutes(10));
  world.restart(0);
  world.crash(1, false);
  world.run_for(minutes(10));
  world.restart(1);
  expect_end();
  EXPECT_EQ(flow.ends[1].read, 10000U);
}

// --- the users ----------------------------------------------------------------------------------------------------

TEST_F(Transfer, BothSidesSuspendAndBothResume) {
  Flow& flow = start(500000, 500000);
  until_flowing(flow);
  for (auto& end : flow.ends) world.with(end.node, [&](Host& host) { host.suspend(*end.session, world.now()); });
  world.run_for(hours(1));
  for (auto& end : flow.ends) EXPECT_EQ(end.session->state(), State::suspended);
  world.with(0, [&](Host& host) { host.resume(*flow.ends[0].session, world.now()); });
  world.run_for(minutes(10));
  EXPECT_EQ(flow.ends[0].session->state(), State::ready_resume) << "the other user has not resumed";
  EXPECT_EQ(flow.ends[1].session->state(), State::suspended);
  world.with(1, [&](Host& host) { host.resume(*flow.ends[1].session, world.now()); });
  ASSERT_TRUE(world.run_until([&] { return flow.ends[0].session->state() == State::active; }, seconds(1)));
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, ASuspendedSessionIsSuspendedAfterARestart) {
  Flow& flow = start(500000, 500000);
  until_flowing(flow);
  world.with(0, [&](Host& host) { host.suspend(*flow.ends[0].session, world.now()); });
  world.crash(0, false);
  world.run_for(seconds(1));
  world.restart(0);
  world.run_for(minutes(5));
  EXPECT_EQ(flow.ends[0].session->state(), State::suspended);
  world.with(0, [&](Host& host) { host.resume(*flow.ends[0].session, world.now()); });
  expect_end();
  expect_all_read(flow);
}

TEST_F(Transfer, AnAbortResetsBothSidesAndIsFoundAfterALossToo) {
  for (const bool reachable : {true, false}) {
    Flow& flow = start(500000, 500000);
    until_flowing(flow);
    if (!reachable)
      for (const auto& pipe : world.pipes()) world.cut(pipe, World::Told::both);
    const auto peer = flow.ends[1].session;
    flows.abort(flow, 0);
    ASSERT_TRUE(world.run_until([&] { return peer->failure() != Failure::none; }, minutes(1)));
    EXPECT_EQ(peer->failure(), Failure::lost);
    expect_end();
  }
}

TEST_F(Transfer, ARefusedConnectLeavesNothing) {
  world.with(1, [&](Host& host) { host.find_endpoint(bob)->access = std::get<Access>(Access::parse("deny file *")); });
  Flow& flow = start(100, 100);
  flow.ends[0].paused = true;
  const auto session = flow.ends[0].session;
  ASSERT_TRUE(world.run_until([&] { return session->failure() != Failure::none; }, seconds(5)));
  EXPECT_EQ(session->failure(), Failure::access);
  flow.ends[0].paused = false;
  world.with(0, [&](Host&) { flows.run(flow, 0); });
  expect_end();
}

TEST_F(Transfer, AFullDiskOnlyWaits) {
  Flow& flow = start(300000, 300000);
  world.run_for(milliseconds(30));
  world.nodes[1]->store->set_full(true);
  world.run_for(minutes(1));
  world.nodes[1]->store->set_full(false);
  world.with(1, [&](Host&) { flows.run(flow, 1); });
  expect_end();
  expect_all_read(flow);
}

}  // namespace
}  // namespace sessionfs::test
