#include "tests/sim/storm.hpp"

#include <set>
#include <sstream>

#include "tests/sim/file_store.hpp"
#include "tests/sim/flow.hpp"
#include "tests/sim/storm_travel.hpp"

namespace sessionfs::test {
namespace {

const std::filesystem::path files_folder = "/dev/shm";     // in memory: what it costs to sync is no part of this
constexpr unsigned disk_percent = 10;                      // worlds in real state files, which are slow
constexpr Duration calm_limit = std::chrono::minutes(20);  // after the last fault everything ends within it

struct Storm {
  World& world;
  Flows& flows;
  Tally& tally;
  std::optional<std::size_t> spare;   // a host where nothing resides
  std::optional<std::size_t> former;  // one that still has an older residence of what has gone on elsewhere
  std::optional<World::Stick> stick;
  Time end{};
  unsigned suspend_percent = 0;
  unsigned crash_percent = 0;
  unsigned abort_percent = 0;
  unsigned move_percent = 0;
  unsigned copy_percent = 0;
  unsigned power_percent = 0;
  unsigned address_percent = 0;
  unsigned better_percent = 0;
  unsigned travel_percent = 0;
  Travels travels{world, flows, tally};
};

void network_fault(Storm& storm) {
  World& world = storm.world;
  const auto pipes = world.pipes();
  if (pipes.empty()) return;
  const auto& pipe = pipes[world.random.between(0, pipes.size() - 1)];
  ++storm.tally.cuts;
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
      node.store->set_full(true);
      return world.after(later / 4, [&node] { node.store->set_full(false); });
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
    ++storm.tally.suspends;
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
  Node& node = *world.nodes[world.random.between(0, world.nodes.size() - 1)];
  node.crash_after = world.random.between(0, 60);
  node.cut_power = world.random.chance(storm.power_percent);
  ++(node.cut_power ? storm.tally.power_cuts : storm.tally.crashes);
}

// Of one host, or of two at the same moment.
void address_fault(Storm& storm) {
  World& world = storm.world;
  const std::size_t first = world.random.between(0, world.nodes.size() - 1);
  const std::size_t second = world.random.between(0, world.nodes.size() - 1);
  for (const std::size_t index : std::set{first, second}) world.change_address(index, world.random.chance(60));
  ++storm.tally.addresses;
}

// One side of a session, or both at once, could have a better link.
void better_link(Storm& storm) {
  World& world = storm.world;
  Flow& flow = *storm.flows.flows[world.random.between(0, storm.flows.flows.size() - 1)];
  const std::uint64_t who = world.random.between(1, 3);
  for (std::size_t i : {0U, 1U}) {
    FlowEnd& end = flow.ends[i];
    if ((who >> i & 1) == 0) continue;
    ++storm.tally.better_links;
    world.with(end.node, [&](Host& host) {
      static constexpr std::array links{"", "eth0", "eth1", "eth1", "eth1"};  // none is better, or one of two
      if (end.session) host.handle_path(*end.session, links.at(world.random.between(0, 4)), world.now());
    });
  }
}

// The former residence is told at last that it is one.
void clear_former(Storm& storm) {
  if (!storm.former) return;
  storm.world.clear(*storm.former);
  storm.spare = std::exchange(storm.former, std::nullopt);
}

// A host from which all has moved starts again with what it had. Nobody may be harmed who knows of the move.
void come_back(Storm& storm, const std::shared_ptr<World::Stick>& left, std::size_t node) {
  World& world = storm.world;
  if (storm.spare != node || storm.former || world.now() >= storm.end || !storm.flows.know(left->endpoints)) return;
  for (const auto& [name, residence] : left->endpoints) {
    const auto now = world.nodes[world.residence(name)]->endpoints.at(name).generation;
    if (now != residence.generation + 1) return;  // it has moved on since
  }
  ++storm.tally.returns;
  storm.former = node;
  storm.spare.reset();
  world.come_back(std::move(*left), node);
  world.after(milliseconds(world.random.between(0, 20000)), [&storm, node] {
    if (storm.former == node) clear_former(storm);
  });
}

void move_fault(Storm& storm) {
  const std::size_t from = storm.world.random.between(0, storm.world.nodes.size() - 1);
  if (!storm.spare || from == *storm.spare || from == storm.former) return;
  ++storm.tally.moves;
  World::Stick left = storm.world.save(from);
  storm.flows.move(from, *storm.spare);
  storm.spare = from;
  if (!storm.world.random.chance(30)) return;
  const auto shared = std::make_shared<World::Stick>(std::move(left));
  storm.world.after(storm.world.names_lag + milliseconds(storm.world.random.between(1, 5000)),
                    [&storm, shared, from] { come_back(storm, shared, from); });
}

void copy_fault(Storm& storm) {
  World& world = storm.world;
  if (!storm.stick) {
    const std::size_t from = world.random.between(0, world.nodes.size() - 1);
    if (world.nodes[from]->host && from != storm.spare && from != storm.former) storm.stick = world.save(from);
    return;
  }
  // Only where it was made, and nothing has moved since, is what the copy is of.
  const std::size_t from = storm.stick->from;
  if (!storm.spare || from == *storm.spare || from == storm.former) return storm.stick.reset();
  for (const auto& [name, residence] : storm.stick->endpoints)
    if (world.residence(name) != from) return storm.stick.reset();
  ++storm.tally.copies;
  const std::size_t to = *storm.spare;
  storm.former = from;
  storm.spare.reset();
  storm.flows.load(std::move(*storm.stick), to);
  storm.stick.reset();
  world.after(milliseconds(world.random.between(0, 20000)), [&storm, from] {
    if (storm.former == from) clear_former(storm);
  });
}

void next_fault(Storm& storm) {
  World& world = storm.world;
  if (world.now() >= storm.end) return;
  if (world.random.chance(storm.move_percent)) move_fault(storm);
  if (world.random.chance(storm.copy_percent)) copy_fault(storm);
  if (world.random.chance(storm.travel_percent)) storm.travels.fault();
  if (world.random.chance(storm.address_percent)) address_fault(storm);
  if (world.random.chance(storm.better_percent)) better_link(storm);
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

void calm(Storm& storm) {
  World& world = storm.world;
  clear_former(storm);
  for (std::size_t i = 0; i < world.nodes.size(); ++i) {
    Node& node = *world.nodes[i];
    node.refuses = node.mute = false;
    node.store->set_full(false);
    node.crash_after.reset();
    node.cut_power = false;
    world.restart(i);
  }
  storm.travels.calm();
  resume_all(world);
}

std::string left_over(const World& world) {
  std::ostringstream out;
  for (std::size_t i = 0; i < world.nodes.size(); ++i)
    for (const auto& key : world.nodes[i]->store->keys()) {
      const auto image = world.nodes[i]->store->load(key);
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

World::MakeStore store_of(std::size_t capacity, bool on_disk) {
  if (!on_disk) return [capacity](World&) { return std::make_unique<MemoryStore>(capacity); };
  return [capacity](World& world) {
    return std::make_unique<FileStore>(files_folder, capacity, fs::Durability::power, [&world] { world.tick(); });
  };
}

}  // namespace

void run_world(std::uint64_t seed, bool trace, Tally& tally) {
  Random dice(seed * 0x9e3779b97f4a7c15 + 7);
  const std::size_t residents = dice.chance(60) ? 2 : dice.between(3, 4);
  const bool on_disk = dice.chance(disk_percent);
  const std::uint64_t world_seed = dice.next();
  World world(world_seed, residents + 1, store_of(std::size_t{1} << dice.between(8, 14), on_disk));
  world.trace = trace;
  world.pipe_bytes = std::size_t{1} << dice.between(8, 16);
  world.most_delay = milliseconds(dice.between(2, dice.chance(20) ? 900 : 60));
  if (dice.chance(30)) world.slow_dials_percent = 20;
  if (dice.chance(30)) world.twin_dials_percent = 20;
  if (dice.chance(50)) world.slow_pipes_percent = 30;
  if (dice.chance(20)) world.distrust_percent = 20;
  if (dice.chance(50)) world.timer_lateness = milliseconds(dice.between(1, 400));
  if (dice.chance(40)) world.names_lag = milliseconds(dice.between(1, 5000));
  const EndpointName names[] = {endpoint_name("alice@home.test"), endpoint_name("bob@work.test"),
                                endpoint_name("carol@work.test"), endpoint_name("dora@home.test")};
  for (std::size_t i = 0; i < residents; ++i) world.add_endpoint(i, names[i], {"file", "print"});
  Flows flows(world);
  Storm storm{world, flows, tally, residents, {}, {}, world.now() + seconds(dice.between(0, 40))};
  if (dice.chance(60)) storm.suspend_percent = 25;
  if (dice.chance(60)) storm.crash_percent = 15;
  if (dice.chance(15)) storm.abort_percent = 30;
  if (dice.chance(40)) storm.move_percent = 8;
  if (dice.chance(15)) storm.copy_percent = 10;
  // Whole hosts that go elsewhere, or single endpoints that do.
  if (dice.chance(30)) {
    storm.travel_percent = 25;
    storm.move_percent = storm.copy_percent = 0;
  }
  if (dice.chance(40)) storm.address_percent = 8;
  if (on_disk) storm.power_percent = 50;
  if (dice.chance(70)) storm.better_percent = 60;
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
  calm(storm);
  const auto forgotten = [&] {
    return std::ranges::all_of(world.nodes, [](const auto& node) { return node->store->empty(); });
  };
  EXPECT_TRUE(world.run_until([&] { return flows.done() && forgotten(); }, calm_limit))
      << (world.idle() ? "nothing will happen any more\n" : "") << flows.describe() << left_over(world);
  // What is left behind are connections that never said anything, and timers that find nothing to do.
  world.run_for(seconds(60));
  EXPECT_TRUE(::testing::Test::HasFailure() || world.idle()) << "something still happens in a world without work";
  for (const auto& node : world.nodes) EXPECT_TRUE(node->conns.empty()) << "a connection that nobody needs any more";
  ++tally.worlds;
  tally.steps += world.steps;
  for (const auto& flow : flows.flows)
    for (const auto& end : flow->ends) tally.bytes += end.read;
}

}  // namespace sessionfs::test
