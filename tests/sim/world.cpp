#include "tests/sim/world.hpp"

namespace sessionfs::test {
namespace {

constexpr std::size_t capacity_of_a_test_bytes = 1 << 20;  // a bound on what a pipe may hold
constexpr std::size_t max_steps_at_once = 200000;          // more at one moment are a loop without end
constexpr std::size_t max_actions_at_once = 100000;

}  // namespace

SessionId session_id(std::uint64_t number) {
  SessionId id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[15 - i] = static_cast<std::uint8_t>(number >> (8 * i));
  return id;
}

World::World(std::uint64_t seed, std::size_t count, std::size_t capacity)
    : World(seed, count, [capacity](World&) { return std::make_unique<MemoryStore>(capacity); }) {}

World::World(std::uint64_t seed, std::size_t count, const MakeStore& make_store)
    : random(seed), make_store_(make_store) {
  for (std::size_t i = 0; i < count; ++i) {
    nodes.push_back(std::make_unique<Node>());
    nodes[i]->store = make_store_(*this);
    restart(i);
  }
}

void World::say(const std::function<void(std::ostream&)>& line) {
  if (!trace) return;
  std::cout << std::chrono::duration_cast<microseconds>(now_).count() << " us  ";
  line(std::cout);
  std::cout << '\n';
}

void World::add_endpoint(std::size_t node, const EndpointName& name, const std::vector<std::string>& services) {
  nodes[node]->endpoints[name] = {1, services, {}};
  note_names();
  Endpoint& endpoint = host(node).add_endpoint(name, 1, now_);
  for (const auto& service : services) (void)endpoint.services[service];
}

std::shared_ptr<Session> World::connect(std::size_t node, const EndpointName& from, std::string_view target,
                                        const SessionId& id) {
  std::shared_ptr<Session> session;
  with(node, [&](Host& host) {
    session = host.connect(*host.find_endpoint(from), DialName::parse(target).value(), id, random.next(), now_);
  });
  return session;
}

void World::with(std::size_t node, const std::function<void(Host&)>& call) {
  guarded([&] {
    if (!nodes[node]->host) return;
    running_ = node;
    call(*nodes[node]->host);
    pump(node);
  });
}

void World::guarded(const std::function<void()>& call) {
  try {
    call();
  } catch (const Crashed& crashed) {
    crash(crashed.node, random.chance(50), nodes[crashed.node]->cut_power);
  }
}

// --- time ---------------------------------------------------------------------------------------------------------

void World::at(Time when, std::function<void()> event) {
  events_[{std::max(when, now_), ++sequence_}] = std::move(event);
}

std::optional<Time> World::next() const {
  std::optional<Time> next;
  if (!events_.empty()) next = events_.begin()->first.first;
  for (const auto& node : nodes) {
    if (!node->host) continue;
    if (const auto timer = node->host->next_timeout(); timer && (!next || *timer < *next)) next = timer;
  }
  return next;
}

bool World::step() {
  std::optional<Time> next;
  std::size_t timer_of = nodes.size();
  if (!events_.empty()) next = events_.begin()->first.first;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i]->host) continue;
    const auto timer = nodes[i]->host->next_timeout();
    if (timer && (!next || *timer + lateness_ < *next)) {
      next = *timer + lateness_;
      timer_of = i;
    }
  }
  if (!next) return false;
  steps_at_once_ = *next > now_ ? 0 : steps_at_once_ + 1;
  if (steps_at_once_ > max_steps_at_once) {
    ADD_FAILURE() << "a loop without end at " << now_.count();
    return false;
  }
  now_ = std::max(now_, *next);
  if (timer_of < nodes.size()) {
    lateness_ = random_between(Duration(0), timer_lateness);
    with(timer_of, [&](Host& host) {
      host.handle_timeout(now_);
      const auto again = host.next_timeout();
      EXPECT_TRUE(!again || *again > now_) << "a timer that stays due";
    });
  } else {
    const auto event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    guarded(event);
  }
  ++steps;
  check();
  if (on_step) on_step();
  return true;
}

bool World::run_until(const std::function<bool()>& condition, Duration limit) {
  const Time end = now_ + limit;
  while (!condition()) {
    if (::testing::Test::HasFailure()) return false;
    const auto when = next();
    if (!when || *when > end) {
      now_ = end;
      return condition();
    }
    if (!step()) return false;
  }
  return true;
}

// --- the driver ---------------------------------------------------------------------------------------------------

void World::tick(std::size_t index) {
  Node& node = *nodes[index];
  if (!node.host || !node.crash_after) return;
  if (*node.crash_after == 0) throw Crashed{index};
  --*node.crash_after;
}

void World::pump(std::size_t index) {
  Node& node = *nodes[index];
  for (std::size_t i = 0; node.host; ++i) {
    running_ = index;
    tick(index);
    const auto action = node.host->poll_action();
    if (!action) return;
    ASSERT_LT(i, max_actions_at_once) << "actions without end";
    perform(index, *action);
  }
}

void World::drain_stores(Node& node) {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].get() != &node) continue;
    while (const auto action = node.host->poll_store()) {
      tick(i);
      store(i, *action->session);
    }
    tick(i);
  }
}

void World::perform(std::size_t index, const Action& action) {
  switch (action.kind) {
    case Action::Kind::store:
      return store(index, *action.session);
    case Action::Kind::dial:
      return dial(index, action);
    case Action::Kind::transmit:
      return transmit(index, action.conn);
    case Action::Kind::close:
      return close(index, action.conn, action.flush);
    case Action::Kind::tell:  // nobody in this world looks on
      return;
    case Action::Kind::wake:
      say([&](auto& out) {
        const auto& s = *action.session;
        out << "host " << index << " " << s.file_name() << " " << name_of(s.state()) << " by T"
            << int{s.last_transition()} << " " << name_of(s.last_event()) << (s.creator() ? " (creator)" : "");
      });
      if (on_wake) on_wake(index, action.session);
      return;
    case Action::Kind::arrived:
      if (on_arrived) on_arrived(index, action.endpoint, action.service);
      return;
    case Action::Kind::forget: {
      Node& node = *nodes[index];
      // The tombstone first: a crash in between leaves both, and never neither.
      if (const auto endpoint = node.host->endpoints().find(action.session->local());
          endpoint != node.host->endpoints().end())
        node.endpoints[endpoint->first].tombstones = endpoint->second.tombstones;
      tick(index);
      node.store->remove(key_of(*action.session));
      node.forgotten.push_back(action.session);
      say([&](auto& out) { out << "host " << index << " forgets " << action.session->file_name(); });
      return;
    }
    case Action::Kind::hand_over:  // nobody in this world asks for it
      return close(index, action.conn, false);
  }
}

void World::store(std::size_t index, Session& session) {
  Node& node = *nodes[index];
  if (!node.store->contains(key_of(session))) return;  // forgotten meanwhile
  node.store->save(session);
  tick(index);
  node.host->handle_stored(session, session.recv_buffer().received(), now_);
}

Duration World::random_between(Duration low, Duration high) {
  return Duration(static_cast<Duration::rep>(
      random.between(static_cast<std::uint64_t>(low.count()), static_cast<std::uint64_t>(high.count()))));
}

Duration World::some_delay() { return random_between(least_delay, most_delay); }

void World::dial(std::size_t index, const Action& action) {
  nodes[index]->conns[action.conn] = {nullptr, 0};
  const auto life = nodes[index]->life;
  const Duration delay = random.chance(slow_dials_percent) ? random_between(Duration(0), slow_dial) : some_delay();
  const bool distrusted = action.session->state() != State::connecting && random.chance(distrust_percent);
  after(delay, [=, this, conn = action.conn, from = action.session->local(), to = action.session->peer()] {
    if (!distrusted) return establish(index, life, conn, from, to);
    if (nodes[index]->life == life) be_refused(index, conn);
  });
}

// The peer looks at our certificate when our side of the handshake is done.
void World::be_refused(std::size_t index, ConnId conn) {
  const auto life = nodes[index]->life;
  const auto when_wanted = [this, index, life, conn](const std::function<void(Host&)>& call) {
    if (nodes[index]->life == life && nodes[index]->conns.contains(conn)) with(index, call);
  };
  when_wanted([this, conn](Host& host) { host.handle_dialled(conn, now_); });
  after(some_delay(), [this, index, conn, when_wanted] {
    when_wanted([this, index, conn](Host& host) {
      nodes[index]->conns.erase(conn);
      host.handle_dial_failed(conn, DialFailure::untrusted, now_);
    });
  });
}

void World::establish(std::size_t index, std::uint64_t life, ConnId conn, const EndpointName& from,
                      const EndpointName& to) {
  Node& node = *nodes[index];
  if (node.life != life || !node.host || !node.conns.contains(conn)) return;  // no longer wanted
  const std::size_t target = resolve(to);
  const bool known = target < nodes.size();
  // Nobody answers at an address that a host has left.
  if (known && (nodes[target]->mute || (now_ < nodes[target]->address_since + names_lag && random.chance(50)))) return;
  if (!known || !nodes[target]->host || nodes[target]->refuses || node.refuses ||
      !nodes[target]->endpoints.contains(to)) {
    node.conns.erase(conn);
    say([&](auto& out) { out << "host " << index << " cannot connect to " << to.str(); });
    return with(index, [&](Host& host) {
      host.handle_dial_failed(conn, known ? DialFailure::unreachable : DialFailure::no_endpoint, now_);
    });
  }
  auto pipe = std::make_shared<Pipe>();
  pipe->delay = random.chance(slow_pipes_percent) ? random_between(least_delay, slow_pipe) : some_delay();
  const ConnId accepted = host(target).handle_incoming(to, from, now_);
  pipe->sides[0].attach(index, conn);
  pipe->sides[1].attach(target, accepted);
  node.conns[conn] = {pipe, 0};
  nodes[target]->conns[accepted] = {pipe, 1};
  say([&](auto& out) { out << "host " << index << " #" << conn << " -- host " << target << " #" << accepted; });
  if (random.chance(twin_dials_percent)) begin_twin(target, from, to);
  if (random.chance(50)) return with(index, [&](Host& host) { host.handle_dialled(conn, now_); });
  after(some_delay(), [this, index, life, conn] {
    if (nodes[index]->life != life) return;
    with(index, [&](Host& host) { host.handle_dialled(conn, now_); });
  });
}

// Of two addresses that were tried at once one is not needed: a connection on which nothing is ever said.
void World::begin_twin(std::size_t target, const EndpointName& from, const EndpointName& to) {
  auto pipe = std::make_shared<Pipe>();
  const ConnId accepted = host(target).handle_incoming(to, from, now_);
  pipe->sides[1].attach(target, accepted);
  nodes[target]->conns[accepted] = {pipe, 1};
  tell_end(pipe, 1, random_between(Duration(0), 2 * first_message_timeout));
}

std::size_t World::resolve(const EndpointName& name) {
  const auto found = names_.find(name);
  if (found != names_.end() && now_ < found->second.since + names_lag && random.chance(50)) return found->second.former;
  return residence(name);
}

void World::note_names() {
  for (const auto& node : nodes)
    for (const auto& [name, ignored] : node->endpoints) {
      const std::size_t now = residence(name);
      Name& known = names_.try_emplace(name, Name{now, now, {}}).first->second;
      if (known.node == now) continue;
      known.former = std::exchange(known.node, now);
      known.since = now_;
    }
}

std::size_t World::residence(const EndpointName& name) const {
  std::size_t newest = nodes.size();
  std::uint64_t generation = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto found = nodes[i]->endpoints.find(name);
    if (found == nodes[i]->endpoints.end() || found->second.generation <= generation) continue;
    newest = i;
    generation = found->second.generation;
  }
  return newest;
}

void World::transmit(std::size_t index, ConnId conn) {
  Node& node = *nodes[index];
  const auto found = node.conns.find(conn);
  if (found == node.conns.end() || !found->second.first) return;
  const auto pipe = found->second.first;
  const std::size_t from = found->second.second;
  Transmit out;
  while (pipe->sides[1 - from].arriving_bytes < pipe_bytes && node.host->poll_transmit(conn, out, now_)) {
    Bytes bytes(out.head().begin(), out.head().end());
    for (const auto& part : out.body) bytes.insert(bytes.end(), part.begin(), part.end());
    tap(pipe->sides[from], bytes);
    send(*pipe, from, std::move(bytes));
  }
}

void World::tap(Pipe::Side& side, std::span<const std::byte> bytes) {
  while (true) {
    const auto event = side.tap.next(bytes);
    if (std::holds_alternative<FrameReader::NeedMore>(event)) return;
    ASSERT_FALSE(std::holds_alternative<FrameReader::Violation>(event)) << "a host has sent a malformed frame";
    if (const auto* message = std::get_if<Message>(&event)) {
      if (record) sent.push_back({now_, side.node, side.conn, *message});
      say([&](auto& out) {
        static constexpr std::array names{"CONNECT", "CONNECT_OK", "CONNECT_DENIED", "CHECKPOINT",    "FINISH", "CLOSE",
                                          "SUSPEND", "RESUME",     "RESUME_OK",      "RESUME_DENIED", "PING",   "ABORT",
                                          "HANDOFF", "HANDOFF_OK", "HANDOFF_DENIED", "HANDOFF_TAKEN"};
        out << "host " << side.node << " #" << side.conn << " sends " << names.at(message->index());
        const Progress* progress = nullptr;
        if (const auto* m = std::get_if<Checkpoint>(message)) progress = &m->progress;
        if (const auto* m = std::get_if<Resume>(message)) progress = &m->progress;
        if (const auto* m = std::get_if<ResumeOk>(message)) progress = &m->progress;
        if (const auto* m = std::get_if<Finish>(message)) out << " " << m->offset;
        if (const auto* m = std::get_if<Close>(message)) out << " " << m->offset;
        if (const auto* m = std::get_if<ResumeDenied>(message))
          out << " reason " << static_cast<int>(m->reason) << " held " << m->held << " end " << m->end;
        if (progress)
          out << " held " << progress->held << " limit " << progress->limit << (progress->has_finish ? " finish" : "")
              << (progress->has_close ? " close" : "");
      });
    } else {
      const auto& part = std::get<FrameReader::DataPart>(event);
      say([&](auto& out) {
        out << "host " << side.node << " #" << side.conn << " sends " << part.offset << "+" << part.bytes.size();
      });
    }
  }
}

void World::send(Pipe& pipe, std::size_t from, Bytes bytes) {
  Pipe::Side& to = pipe.sides[1 - from];
  if (!to.open) return;
  ASSERT_LT(to.arriving_bytes, pipe_bytes + capacity_of_a_test_bytes);
  if (to.lossy || to.ending) {
    to.arriving_bytes += bytes.size();  // fills the sender's socket buffer, as it does when nobody acknowledges
    return;
  }
  to.arriving_bytes += bytes.size();
  const Time when = now_ + pipe.delay;
  to.arriving.emplace_back(when, std::move(bytes));
  const auto shared = nodes[to.node]->conns.at(to.conn).first;
  at(when, [this, shared, side = 1 - from] { deliver(shared, side); });
}

void World::deliver(const std::shared_ptr<Pipe>& pipe, std::size_t index) {
  Pipe::Side& side = pipe->sides[index];
  Bytes bytes;
  while (side.open && !side.lossy && !side.arriving.empty() && side.arriving.front().first <= now_) {
    const auto& front = side.arriving.front().second;
    bytes.insert(bytes.end(), front.begin(), front.end());
    side.arriving_bytes -= front.size();
    side.arriving.pop_front();
  }
  std::span<const std::byte> rest(bytes);
  while (!rest.empty() && side.open) {
    const std::size_t count = random.chance(70) ? rest.size() : random.between(1, rest.size());
    const auto piece = rest.first(count);
    rest = rest.subspan(count);
    with(side.node, [&](Host& host) { host.handle_input(side.conn, piece, now_); });
  }
  Pipe::Side& other = pipe->sides[1 - index];
  if (other.open && !bytes.empty()) with(other.node, [&](Host&) { transmit(other.node, other.conn); });
  if (side.ending && side.open && side.arriving.empty()) tell_end(pipe, index, Duration(0));
}

void World::tell_end(const std::shared_ptr<Pipe>& pipe, std::size_t index, Duration delay) {
  const auto life = nodes[pipe->sides[index].node]->life;
  after(delay, [this, pipe, index, life] {
    Pipe::Side& side = pipe->sides[index];
    if (!side.open || side.lossy || nodes[side.node]->life != life) return;
    side.open = false;
    nodes[side.node]->conns.erase(side.conn);
    say([&](auto& out) { out << "host " << side.node << " #" << side.conn << " learns that it is closed"; });
    with(side.node, [&](Host& host) { host.handle_closed(side.conn, now_); });
  });
}

void World::close(std::size_t index, ConnId conn, bool flush) {
  Node& node = *nodes[index];
  const auto found = node.conns.find(conn);
  ASSERT_NE(found, node.conns.end()) << "a connection is closed that is none";
  const auto [pipe, mine] = found->second;
  node.conns.erase(found);
  if (!pipe) return;  // still being made
  say([&](auto& out) { out << "host " << index << " #" << conn << " closes" << (flush ? " after what is sent" : ""); });
  pipe->sides[mine].open = false;
  Pipe::Side& other = pipe->sides[1 - mine];
  if (!other.open) return;
  // Without a flush the system may drop what is on its way.
  if (!flush)
    while (!other.arriving.empty() && random.chance(50)) other.arriving.pop_back();
  other.ending = true;
  const Time last = other.arriving.empty() ? now_ + pipe->delay : other.arriving.back().first;
  at(last, [this, shared = pipe, side = 1 - mine] { deliver(shared, side); });
}

}  // namespace sessionfs::test
