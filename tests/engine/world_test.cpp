// Random worlds: flows over sessions while everything that can fail does. The seed makes the world.
//
// SESSIONFS_SEEDS=N runs N of them; SESSIONFS_SEED=K runs K alone and prints what happens.
#include <cstdlib>
#include <sstream>

#include "tests/engine/flow.hpp"

namespace sessionfs::test {
namespace {

constexpr std::uint64_t default_seeds = 2000;
constexpr Duration calm_limit = std::chrono::minutes(20);  // after the last fault everything ends within it

struct Storm {
  World& world;
  Flows& flows;
  std::size_t spare = 0;  // a host where nothing resides
  Time end{};
  unsigned suspend_percent = 0;
  unsigned crash_percent = 0;
  unsigned abort_percent = 0;
  unsigned move_percent = 0;
};

void network_fault(Storm& storm) {
  World& world = storm.world;
  const auto pipes = world.pipes();
  if (pipes.empty()) return;
  const auto& pipe = pipes[world.random.between(0, pipes.size() - 1)];
  switch (world.random.between(0, 5)) {
    case 0:
      return world.cut(pipe, World::Told::both);
    case 1:
      return world.cut(pipe, World::Told::first);
    case 2:
      return world.cut(pipe, World::Told::second);
    case 3:
      return world.cut(pipe, World::Told::none);
    case 4:
      return World::lose_silently(pipe, true, true);
    default:
      return World::lose_silently(pipe, world.random.chance(50), true);
  }
}

void host_fault(Storm& storm) {
  World& world = storm.world;
  const std::size_t index = world.random.between(0, world.nodes.size() - 1);
  Node& node = *world.nodes[index];
  const Duration later = milliseconds(world.random.between(1, 8000));
  switch (world.random.between(0, 3)) {
    case 0:
      node.refuses = true;
      return world.after(later, [&node] { node.refuses = false; });
    case 1:
      node.mute = true;
      return world.after(later, [&node] { node.mute = false; });
    case 2:
      node.store.set_full(true);
      return world.after(later / 4, [&node] { node.store.set_full(false); });
    default:
      return world.with(index, [&](Host& host) { host.handle_network_change(world.now()); });
  }
}

void user_fault(Storm& storm) {
  World& world = storm.world;
  Flow& flow = *storm.flows.flows[world.random.between(0, storm.flows.flows.size() - 1)];
  const std::uint64_t who = world.random.between(1, 3);  // one side, the other, both at once
  for (std::size_t i : {0U, 1U}) {
    FlowEnd& end = flow.ends[i];
    if ((who >> i & 1) == 0 || !end.session || end.closed) continue;
    if (world.random.chance(storm.abort_percent)) {
      storm.flows.abort(flow, i);
      continue;
    }
    world.with(end.node, [&](Host& host) { host.suspend(*end.session, world.now()); });
    // The user comes back for as long as the session is suspended.
    world.after(milliseconds(world.random.between(1, 6000)), [&world, &end] {
      world.with(end.node, [&](Host& host) {
        if (end.session) host.resume(*end.session, world.now());
      });
    });
  }
}

void resume_all(World& world) {
  for (std::size_t i = 0; i < world.nodes.size(); ++i)
    world.with(i, [&](Host& host) {
      for (const auto& [name, endpoint] : host.endpoints())
        for (const auto& [file, session] : std::map(endpoint.sessions.begin(), endpoint.sessions.end()))
          if (session->state() == State::suspended) host.resume(*session, world.now());
    });
}

void crash_fault(Storm& storm) {
  World& world = storm.world;
  const std::size_t index = world.random.between(0, world.nodes.size() - 1);
  world.nodes[index]->crash_after = world.random.between(0, 60);
}

void move_fault(Storm& storm) {
  const std::size_t from = storm.world.random.between(0, storm.world.nodes.size() - 1);
  if (from == storm.spare) return;
  storm.flows.move(from, storm.spare);
  storm.spare = from;
}

void next_fault(Storm& storm) {
  World& world = storm.world;
  if (world.now() >= storm.end) return;
  if (world.random.chance(storm.move_percent)) move_fault(storm);
  const auto dice = world.random.between(0, 99);
  if (dice < storm.crash_percent) {
    crash_fault(storm);
  } else if (dice < storm.crash_percent + storm.suspend_percent) {
    user_fault(storm);
  } else if (dice % 3 == 0) {
    host_fault(storm);
  } else {
    network_fault(storm);
  }
  world.after(milliseconds(world.random.between(1, 1500)), [&storm] { next_fault(storm); });
}

// Hosts that are down come up again, some time.
void watch_hosts(World& world) {
  for (std::size_t i = 0; i < world.nodes.size(); ++i)
    if (!world.nodes[i]->host && world.random.chance(30)) world.restart(i);
}

void keep_watching(World& world, Time end) {
  watch_hosts(world);
  if (world.now() < end) world.after(milliseconds(500), [&world, end] { keep_watching(world, end); });
}

void calm(World& world) {
  for (std::size_t i = 0; i < world.nodes.size(); ++i) {
    Node& node = *world.nodes[i];
    node.refuses = node.mute = false;
    node.store.set_full(false);
    node.crash_after.reset();
    world.restart(i);
  }
  resume_all(world);
}

std::string left_over(const World& world) {
  std::ostringstream out;
  for (std::size_t i = 0; i < world.nodes.size(); ++i)
    for (const auto& key : world.nodes[i]->store.keys()) {
      const auto image = world.nodes[i]->store.load(key);
      out << "host " << i << " still has " << (image ? image->file_name : key.id.hex());
      if (image)
        out << (image->accepted ? "" : ", not accepted") << (image->detached ? ", detached" : "")
            << (image->suspended ? ", suspended" : "") << (image->closed ? ", closed" : "") << ", failure "
            << static_cast<int>(image->failure) << ", acked " << image->sent.acked << " of " << image->sent.written
            << (image->end_acked ? ", its end too" : "") << (image->peer_closed ? ", peer closed" : "") << ", held "
            << image->received.held << " of " << (image->peer_end ? std::to_string(*image->peer_end) : "?");
      out << '\n';
    }
  return out.str();
}

void run_world(std::uint64_t seed, bool trace) {
  Random dice(seed * 0x9e3779b97f4a7c15 + 7);
  const std::size_t residents = dice.chance(80) ? 2 : 3;
  World world(dice.next(), residents + 1, std::size_t{1} << dice.between(8, 14));
  world.trace = trace;
  world.pipe_bytes = std::size_t{1} << dice.between(8, 16);
  world.most_delay = milliseconds(dice.between(2, dice.chance(20) ? 900 : 60));
  if (dice.chance(30)) world.slow_dials_percent = 20;
  if (dice.chance(50)) world.timer_lateness = milliseconds(dice.between(1, 400));
  const EndpointName names[] = {endpoint_name("alice@home.test"), endpoint_name("bob@work.test"),
                                endpoint_name("carol@work.test")};
  for (std::size_t i = 0; i < residents; ++i) world.add_endpoint(i, names[i], {"file", "print"});
  Flows flows(world);
  Storm storm{world, flows, residents, world.now() + seconds(dice.between(0, 40))};
  if (dice.chance(60)) storm.suspend_percent = 25;
  if (dice.chance(60)) storm.crash_percent = 15;
  if (dice.chance(15)) storm.abort_percent = 30;
  if (dice.chance(40)) storm.move_percent = 8;
  const auto count = dice.between(1, 4);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t from = dice.between(0, residents - 1);
    const std::size_t to = dice.chance(10) ? from : (from + dice.between(1, residents - 1)) % residents;
    const auto size = [&] { return dice.chance(20) ? 0 : dice.between(1, std::uint64_t{1} << dice.between(3, 16)); };
    Flow& flow = flows.add(from, names[from], to, names[to], dice.chance(50) ? "file" : "print", size(), size());
    for (auto& end : flow.ends) {
      if (dice.chance(25)) end.ending = Ending::close;
      end.most_bytes = std::size_t{1} << dice.between(0, 15);
      if (flow.ends[0].total + flow.ends[1].total > 5000) end.most_bytes = std::max<std::size_t>(end.most_bytes, 512);
      end.pause_percent = static_cast<unsigned>(dice.between(0, 60));
    }
    world.after(milliseconds(dice.between(0, 5000)), [&flows, &flow] { flows.start(flow); });
  }
  world.after(milliseconds(dice.between(0, 300)), [&storm] { next_fault(storm); });
  keep_watching(world, storm.end);

  world.run_until([&] { return world.now() >= storm.end; }, storm.end - world.now());
  if (::testing::Test::HasFailure()) return;
  world.say([](auto& out) { out << "calm"; });
  calm(world);
  const auto forgotten = [&] {
    return std::ranges::all_of(world.nodes, [](const auto& node) { return node->store.empty(); });
  };
  EXPECT_TRUE(world.run_until([&] { return flows.done() && forgotten(); }, calm_limit))
      << (world.idle() ? "nothing will happen any more\n" : "") << flows.describe() << left_over(world);
  // What is left behind are connections that never said anything, and timers that find nothing to do.
  world.run_for(seconds(60));
  EXPECT_TRUE(::testing::Test::HasFailure() || world.idle()) << "something still happens in a world without work";
}

TEST(RandomWorld, EveryByteOnceInOrderWhateverHappens) {
  if (const char* one = std::getenv("SESSIONFS_SEED")) return run_world(std::strtoull(one, nullptr, 10), true);
  const char* count = std::getenv("SESSIONFS_SEEDS");
  const std::uint64_t seeds = count ? std::strtoull(count, nullptr, 10) : default_seeds;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    run_world(seed, false);
    ASSERT_FALSE(HasFailure()) << "with SESSIONFS_SEED=" << seed;
  }
}

}  // namespace
}  // namespace sessionfs::test
