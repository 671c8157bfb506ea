// Endpoints of the small world that go from host to host in their records.
#include "engine/record.hpp"
#include "tests/sim/world.hpp"

namespace sessionfs::test {
namespace {

EndpointRecord without_sessions(const Endpoint& endpoint) {
  EndpointRecord record;
  record.name = endpoint.name;
  record.generation = endpoint.generation;
  for (const auto& [service, ignored] : endpoint.services) record.services.push_back(service);
  record.tombstones.assign(endpoint.tombstones.begin(), endpoint.tombstones.end());
  return record;
}

void fill(Memory& memory, const Bytes& bytes) {
  if (bytes.empty()) return;
  ASSERT_TRUE(memory.reserve(bytes.size()));
  std::ranges::copy(bytes, memory.bytes().begin());
}

void remove_from(Node& node, const EndpointName& name) {
  node.endpoints.erase(name);
  for (const auto& key : node.store->keys())
    if (key.local == name) node.store->remove(key);
}

}  // namespace

Bytes World::record_at(std::size_t index, const EndpointName& name) const {
  Host& host = *nodes[index]->host;
  EndpointRecord record = without_sessions(*host.find_endpoint(name));
  for (const auto& session : host.sessions_at(name))
    if (session->state() != State::connecting) record.sessions.push_back(sessionfs::record_of(*session));
  return encode(record);
}

std::optional<Bytes> World::leave(std::size_t index, const EndpointName& name) {
  std::optional<Bytes> left;
  Node& node = *nodes[index];
  with(index, [&](Host& host) {
    drain_stores(node);
    Endpoint& endpoint = *host.find_endpoint(name);
    EndpointRecord record = without_sessions(endpoint);
    for (const auto& [session, travels] : host.freeze(endpoint, now_)) {
      EXPECT_EQ(session->failure(), Failure::superseded);
      record.sessions.push_back(travels);
    }
    record.tombstones.assign(endpoint.tombstones.begin(), endpoint.tombstones.end());
    host.forget_endpoint(name);
    remove_from(node, name);
    left = encode(record);
    say([&](auto& out) { out << name.str() << " leaves host " << index; });
  });
  return left;
}

void World::drop(std::size_t index, const EndpointName& name) {
  Node& node = *nodes[index];
  say([&](auto& out) { out << name.str() << " at host " << index << " is no more"; });
  with(index, [&](Host& host) {
    Endpoint* endpoint = host.find_endpoint(name);
    if (endpoint == nullptr) return;
    (void)host.freeze(*endpoint, now_);
    host.forget_endpoint(name);
  });
  remove_from(node, name);
}

void World::arrive(std::size_t index, const Bytes& bytes) {
  Node& node = *nodes[index];
  node.crash_after.reset();  // also of one that is down, and would die of its start
  restart(index);
  node.store->set_full(false);
  const auto record = decode_endpoint_record(bytes);
  ASSERT_TRUE(record) << "what was written cannot be read";
  std::uint64_t& generation = generations_[record->name];
  for (const auto& other : nodes)
    if (const auto found = other->endpoints.find(record->name); found != other->endpoints.end())
      generation = std::max(generation, found->second.generation);
  generation = std::max(generation, record->generation) + 1;
  say([&](auto& out) {
    out << record->name.str() << " of generation " << record->generation << " arrives at host " << index << ", "
        << generation;
  });
  node.endpoints[record->name] = {generation, record->services, {record->tombstones.begin(), record->tombstones.end()}};
  note_names();
  with(index, [&](Host& host) {
    Endpoint& endpoint = host.add_endpoint(record->name, generation, now_);
    for (const auto& service : record->services) (void)endpoint.services[service];
    endpoint.tombstones.assign(record->tombstones.begin(), record->tombstones.end());
    for (const auto& session : record->sessions) {
      const SessionKey key{session.image.local, session.image.id, session.image.creator};
      const auto memories = node.store->make(key);
      fill(*memories.send, session.sent);
      fill(*memories.receive, session.received);
      EXPECT_TRUE(host.restore(endpoint, session.image, node.store->memories(key), random.next(), now_));
    }
  });
}

}  // namespace sessionfs::test
