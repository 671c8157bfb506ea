// What goes wrong in the small world, and what must hold all the same.
#include <set>

#include "tests/sim/world.hpp"

namespace sessionfs::test {

// --- faults -------------------------------------------------------------------------------------------------------

std::vector<std::shared_ptr<Pipe>> World::pipes() const {
  std::vector<std::shared_ptr<Pipe>> pipes;
  for (const auto& node : nodes)
    for (const auto& [conn, end] : node->conns)
      if (end.first && std::ranges::find(pipes, end.first) == pipes.end()) pipes.push_back(end.first);
  return pipes;
}

void World::cut(const std::shared_ptr<Pipe>& pipe, Told told) {
  say([&](auto& out) { out << "#" << pipe->sides[0].conn << " -- #" << pipe->sides[1].conn << " is cut"; });
  for (std::size_t i : {0U, 1U}) {
    Pipe::Side& side = pipe->sides[i];
    if (!side.arriving.empty()) {
      // A frame may be torn anywhere.
      const std::size_t kept = random.between(0, side.arriving.size() - 1);
      side.arriving.resize(kept + 1);
      auto& torn = side.arriving.back().second;
      torn.resize(random.between(0, torn.size()));
    }
    if (told == Told::both || (told == Told::first && i == 0) || (told == Told::second && i == 1)) {
      side.ending = true;
      const Time last = side.arriving.empty() ? now_ : side.arriving.back().first;
      at(last, [this, pipe, i] { deliver(pipe, i); });
    } else {
      lose_silently(pipe, i == 0, i == 1);
    }
  }
}

void World::lose_silently(const std::shared_ptr<Pipe>& pipe, bool to_first, bool to_second) {
  if (to_first) pipe->sides[0].lossy = true;
  if (to_second) pipe->sides[1].lossy = true;
}

void World::crash(std::size_t index, bool silent, bool power_cut) {
  Node& node = *nodes[index];
  if (!node.host) return;
  say([&](auto& out) {
    out << "host " << index << (power_cut ? " has no power" : " crashes") << (silent ? " without a sign" : "");
  });
  node.host.reset();
  node.crash_after.reset();
  node.cut_power = false;
  node.after_cut = power_cut;
  node.forgotten.clear();
  node.store->crashed(power_cut, random);
  ++node.life;
  for (const auto& [conn, end] : std::exchange(node.conns, {})) {
    const auto& [pipe, mine] = end;
    if (!pipe) continue;
    pipe->sides[mine].open = false;
    pipe->sides[1 - mine].ending = true;
    if (silent) {
      pipe->sides[1 - mine].lossy = true;
    } else {
      at(now_ + pipe->delay, [this, shared = pipe, side = 1 - mine] { deliver(shared, side); });
    }
  }
}

void World::move(std::size_t from, std::size_t to) {
  crash(from, true);
  crash(to, true);
  std::swap(nodes[from]->store, nodes[to]->store);
  std::swap(nodes[from]->after_cut, nodes[to]->after_cut);
  std::swap(nodes[from]->endpoints, nodes[to]->endpoints);
  for (auto& [name, residence] : nodes[to]->endpoints) ++residence.generation;
  note_names();
  restart(from);
  restart(to);
}

void World::change_address(std::size_t index, bool noticed) {
  Node& node = *nodes[index];
  say([&](auto& out) { out << "host " << index << " has another address" << (noticed ? "" : " and does not know"); });
  node.address_since = now_;
  std::vector<ConnId> conns;
  for (const auto& [conn, end] : node.conns) {
    if (end.first) lose_silently(end.first, true, true);
    conns.push_back(conn);  // one that is being made, too
  }
  if (!noticed) return;
  with(index, [&](Host& host) {
    for (const ConnId conn : conns) {
      const auto found = node.conns.find(conn);
      if (found == node.conns.end()) continue;  // let go of meanwhile
      if (const auto& [pipe, mine] = found->second; pipe) pipe->sides[mine].open = false;
      node.conns.erase(found);
      host.handle_closed(conn, now_);
    }
    host.handle_network_change(now_);
  });
}

World::Stick World::save(std::size_t index) const {
  return {index, nodes[index]->store->copy(), nodes[index]->endpoints};
}

void World::load(Stick stick, std::size_t to) {
  say([&](auto& out) { out << "host " << to << " loads a copy that was made at host " << stick.from; });
  storage_goes_back = true;
  crash(to, true);
  for (auto& [name, copied] : stick.endpoints)
    copied.generation = nodes[residence(name)]->endpoints.at(name).generation + 1;
  nodes[to]->store = std::move(stick.store);
  nodes[to]->endpoints = std::move(stick.endpoints);
  note_names();
  restart(to);
}

void World::come_back(Stick stick, std::size_t node) {
  say([&](auto& out) { out << "host " << node << " comes back with what was at host " << stick.from; });
  crash(node, true);
  nodes[node]->store = std::move(stick.store);
  nodes[node]->endpoints = std::move(stick.endpoints);
  restart(node);
}

void World::clear(std::size_t index) {
  crash(index, true);
  nodes[index]->store = make_store_(*this);
  nodes[index]->endpoints.clear();
  restart(index);
}

void World::restart(std::size_t index) {
  Node& node = *nodes[index];
  if (node.host) return;
  node.host = std::make_unique<Host>([&node](const EndpointName& local, const SessionId& id, bool creator) {
    return std::optional(node.store->make({local, id, creator}));
  });
  ++node.life;
  say([&](auto& out) { out << "host " << index << " starts"; });
  for (const auto& [name, residence] : node.endpoints) {
    Endpoint& endpoint = node.host->add_endpoint(name, residence.generation, now_);
    for (const auto& service : residence.services) (void)endpoint.services[service];
    endpoint.tombstones = residence.tombstones;
  }
  for (const auto& key : node.store->keys()) {
    const auto image = node.store->load(key);
    ASSERT_TRUE(image) << "what was stored cannot be read";
    node.host->restore(*node.host->find_endpoint(key.local), *image, node.store->memories(key), random.next(), now_);
  }
  with(index, [](Host&) {});
  if (on_started && node.host) on_started(index);
}

// --- what always holds --------------------------------------------------------------------------------------------

void World::check() {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i]->host) continue;
    std::set<ConnId> channels;
    for (const auto& [name, endpoint] : nodes[i]->host->endpoints())
      for (const auto& [file, session] : endpoint.sessions) {
        check_session(i, *session);
        const bool alone = session->channel() == 0 || channels.insert(session->channel()).second;
        EXPECT_TRUE(alone) << "two sessions on one connection";
      }
  }
}

void World::check_session(std::size_t index, const Session& session) {
  const auto& send = session.send_buffer();
  const auto& receive = session.recv_buffer();
  EXPECT_LE(send.acked(), send.sent());
  EXPECT_LE(send.sent(), send.written());
  EXPECT_LE(send.sent(), send.limit());
  EXPECT_LE(send.written() - send.acked(), send.capacity());
  EXPECT_LE(receive.read(), receive.held());
  EXPECT_LE(receive.held(), receive.received());
  EXPECT_LE(receive.received(), receive.limit());
  EXPECT_TRUE(!session.flows() || session.channel() != 0) << name_of(session.state()) << " without a channel";
  EXPECT_TRUE(session.state() != State::moving || session.attempt_conn() != 0) << "MOVING without an attempt";
  const auto timer = session.next_timeout();
  EXPECT_TRUE(timer || session.state() == State::suspended || session.state() == State::closed) << "waits for ever";
  EXPECT_TRUE(!timer || *nodes[index]->host->next_timeout() <= *timer) << "a timer is lost";
  EXPECT_TRUE(session.channel() == 0 || nodes[index]->conns.contains(session.channel())) << "a channel that is none";
  // Nothing is forgotten here that the other side has not stored; copies that it has left behind do not count.
  const std::size_t peer = residence(session.peer());
  if (peer == nodes.size() || storage_goes_back) return;
  const auto image = nodes[peer]->store->load({session.peer(), session.id(), !session.creator()});
  EXPECT_TRUE(!image || send.acked() <= image->received.held)
      << session.file_name() << " of host " << index << " has forgotten up to " << send.acked()
      << ", the other side has stored up to " << image->received.held;
}

}  // namespace sessionfs::test
