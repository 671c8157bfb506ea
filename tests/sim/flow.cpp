#include "tests/sim/flow.hpp"

#include <sstream>

namespace sessionfs::test {
namespace {

constexpr std::size_t most_operations = 64;  // in one go

}  // namespace

Flows::Flows(World& world) : world_(world) {
  world_.on_wake = [this](std::size_t node, const std::shared_ptr<Session>& session) {
    for (auto& flow : flows)
      for (std::size_t end : {0U, 1U})
        if (flow->ends[end].session == session && flow->ends[end].node == node) run(*flow, end);
  };
  world_.on_arrived = [this](std::size_t node, const EndpointName& local, const std::string& service) {
    const Duration later = world_.random.chance(50) ? Duration(0) : milliseconds(world_.random.between(0, 300));
    world_.after(later, [this, node, local, service] {
      world_.with(node, [&](Host& host) {
        Endpoint* endpoint = host.find_endpoint(local);
        if (endpoint == nullptr) return;  // it has moved
        while (const auto session = host.accept(*endpoint, service)) {
          if (world_.random.chance(10)) {
            host.give_back(*endpoint, session);
            world_.drain_stores(*world_.nodes[node]);
            continue;
          }
          world_.drain_stores(*world_.nodes[node]);
          attach(node, local, session);
        }
      });
    });
  };
  world_.on_started = [this](std::size_t node) { restarted(node); };
  world_.on_step = [this] {
    crashed();
    for (auto& flow : flows)
      for (std::size_t end : {0U, 1U}) check(*flow, end);
  };
}

Flow& Flows::add(std::size_t node, const EndpointName& from, std::size_t peer, const EndpointName& to,
                 const std::string& service, std::uint64_t bytes_out, std::uint64_t bytes_back) {
  auto flow = std::make_unique<Flow>();
  const std::size_t number = flows.size() + 1;
  flow->id = session_id(number);
  flow->target = service + "." + to.str() + "~" + std::to_string(number);
  flow->ends[0].node = node;
  flow->ends[0].name = from;
  flow->ends[0].creator = true;
  flow->ends[0].total = bytes_out;
  flow->ends[1].node = peer;
  flow->ends[1].name = to;
  flow->ends[1].total = bytes_back;
  for (const std::size_t i : {0U, 1U}) {
    flow->ends[i].texts.push_back({{{0, flow->salt(i)}}});
    flow->ends[i].candidates.push_back(true);
  }
  flows.push_back(std::move(flow));
  return *flows.back();
}

void Flows::start(Flow& flow) {
  FlowEnd& creator = flow.ends[0];
  if (!world_.nodes[creator.node]->host || world_.host(creator.node).find_endpoint(creator.name) == nullptr)
    return world_.after(seconds(1), [this, &flow] { start(flow); });
  flow.started = true;
  world_.with(creator.node, [&](Host& host) {
    creator.session = host.connect(*host.find_endpoint(creator.name), DialName::parse(flow.target).value(), flow.id,
                                   world_.random.next(), world_.now());
    ASSERT_TRUE(creator.session);
  });
}

void Flows::attach(std::size_t node, const EndpointName& local, const std::shared_ptr<Session>& session) {
  for (auto& flow : flows)
    if (flow->id == session->id() && flow->ends[1].node == node && flow->ends[1].name == local) {
      // Its creator, which has had no answer yet, has connected again.
      if (flow->ends[1].closed) return world_.host(node).close(*session, world_.now());
      flow->ends[1].session = session;
      run(*flow, 1);
    }
}

void Flows::move(std::size_t from, std::size_t to) {
  for (const std::size_t node : {from, to})
    if (world_.nodes[node]->host) world_.crash(node, true);
  crashed();
  for (auto& flow : flows)
    for (auto& end : flow->ends)
      if (end.node == from) end.node = to;
  world_.move(from, to);
}

void Flows::load(World::Stick stick, std::size_t to) {
  for (auto& flow : flows)
    for (auto& end : flow->ends) {
      if (end.node != stick.from) continue;
      end.node = to;
      const auto image = stick.store->load({end.name, flow->id, end.creator});
      go_on(*flow, end.creator ? 0 : 1, image ? &*image : nullptr, end.texts.back());
    }
  world_.load(std::move(stick), to);
}

void Flows::crashed() {
  for (auto& flow : flows)
    for (auto& end : flow->ends)
      if (end.session && !world_.nodes[end.node]->host) {
        if (end.creator && !flow->stood) flow->may_fail = true;
        end.session.reset();
      }
}

void Flows::restarted(std::size_t node) {
  for (auto& flow : flows)
    for (std::size_t i : {0U, 1U}) {
      FlowEnd& end = flow->ends[i];
      if (end.node != node || end.closed || !flow->started) continue;
      end.session.reset();
      const Endpoint* endpoint = world_.host(node).find_endpoint(end.name);
      if (endpoint == nullptr) continue;  // on its way
      for (const auto& [file, session] : endpoint->sessions)
        if (session->id() == flow->id && session->creator() == end.creator && session->accepted())
          end.session = session;
      if (!end.session) {
        // A close that was stored and never answered is one; a session that never stood is none.
        const auto image = world_.nodes[node]->store->load({end.name, flow->id, end.creator});
        if (image ? image->detached : end.final_offset || end.aborted || end.failure != Failure::none)
          end.closed = true;
        if (end.creator && !flow->stood) flow->may_fail = end.closed = true;
        continue;
      }
      EXPECT_GE(end.session->send_buffer().written(), end.written) << "written bytes are gone";
      // A host that dies while it answers a read may have answered it; after a power cut its bytes come again.
      const std::uint64_t read = end.session->recv_buffer().read();
      if (read == end.read + end.reading || (read == end.before && world_.nodes[node]->after_cut)) end.read = read;
      if (end.read > end.seen.size())
        for (const auto byte : end.offered) flow->take(i, byte);
      if (end.read < end.seen.size()) flow->see_again(i, end.read);
      end.reading = 0;
      EXPECT_EQ(end.session->recv_buffer().read(), end.read) << "read bytes come again, or some are skipped";
      world_.after(Duration(0),
                   [this, f = flow.get(), i] { world_.with(f->ends[i].node, [&](Host&) { run(*f, i); }); });
    }
  const Endpoint* none = nullptr;
  for (const auto& [name, endpoint] : world_.host(node).endpoints()) {
    none = &endpoint;
    for (const auto& [service, waiting] : none->services)
      if (!waiting.backlog.empty()) world_.on_arrived(node, name, service);
  }
}

void Flows::run(Flow& flow, std::size_t index) {
  FlowEnd& end = flow.ends[index];
  if (end.paused || end.closed || !end.session || !world_.nodes[end.node]->host) return;
  if (!world_.random.chance(end.pause_percent)) return work(flow, index);
  end.paused = true;
  world_.after(milliseconds(world_.random.between(0, 200)), [this, &flow, &end, index] {
    end.paused = false;
    world_.with(end.node, [&](Host&) { work(flow, index); });
  });
}

void Flows::work(Flow& flow, std::size_t index) {
  FlowEnd& end = flow.ends[index];
  for (std::size_t i = 0; i < most_operations; ++i) {
    if (end.closed || !end.session) return;
    if (end.creator && end.session->state() != State::connecting && end.session->failure() == Failure::none)
      flow.stood = true;
    const bool more_read = read(flow, index);
    const bool more_written = write(flow, index);
    ended(flow, index);
    if (!more_read && !more_written) return;
  }
  world_.after(Duration(0),
               [this, &flow, index] { world_.with(flow.ends[index].node, [&](Host&) { run(flow, index); }); });
}

bool Flows::read(Flow& flow, std::size_t index) {
  FlowEnd& end = flow.ends[index];
  Node& node = *world_.nodes[end.node];
  Session& session = *end.session;
  const Parts parts = session.readable(world_.random.between(1, end.most_bytes));
  const std::size_t count = parts[0].size() + parts[1].size();
  if (count == 0) return false;
  EXPECT_EQ(session.recv_buffer().read(), end.read);
  if (world_.random.chance(5)) return true;  // a reader that is interrupted takes nothing
  end.reading = count;
  end.offered.clear();
  for (const auto& part : parts) end.offered.insert(end.offered.end(), part.begin(), part.end());
  end.before = end.read;
  node.store->note_given(key_of(session), end.read + count);
  world_.tick(end.node);
  end.reading = 0;
  end.read += count;
  for (const auto byte : end.offered) flow.take(index, byte);
  if (std::ranges::none_of(end.candidates, [](bool candidate) { return candidate; }))
    ADD_FAILURE() << "of " << flow.target << " a byte before " << end.read << " is wrong at host " << end.node;
  node.host->consume(session, count, world_.now());
  world_.drain_stores(node);
  return true;
}

bool Flows::write(Flow& flow, std::size_t index) {
  FlowEnd& end = flow.ends[index];
  Node& node = *world_.nodes[end.node];
  Session& session = *end.session;
  if (end.final_offset || session.write_ended() || session.failure() != Failure::none) return false;
  const std::uint64_t from = session.send_buffer().written();
  if (from >= end.total) {
    end.written = from;
    return false;
  }
  Bytes bytes(std::min<std::uint64_t>(world_.random.between(1, end.most_bytes), end.total - from));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = end.texts.back().at(from + i);
  const std::size_t taken = node.host->write(session, bytes, world_.now());
  world_.drain_stores(node);
  end.written = from + taken;
  if (world_.random.chance(5)) node.host->request_checkpoint(session, world_.now());
  return taken == bytes.size();
}

// Whether this end has come to its end, and what follows.
void Flows::ended(Flow& flow, std::size_t index) {
  FlowEnd& end = flow.ends[index];
  Node& node = *world_.nodes[end.node];
  Session& session = *end.session;
  end.failure = session.failure();
  if (end.failure != Failure::none) {
    if (!flow.stood) flow.may_fail = true;
    EXPECT_TRUE(flow.may_fail) << flow.target << " is lost at host " << end.node << ": "
                               << static_cast<int>(end.failure);
    return close(flow, end);
  }
  if (session.write_ended() && !end.final_offset) end.final_offset = session.send_buffer().written();
  if (session.read_ended() && !end.saw_end) {
    end.saw_end = true;
    const auto& peer = flow.ends[1 - index];
    EXPECT_TRUE(peer.aborted || peer.final_offset || flow.may_fail || !world_.nodes[peer.node]->host)
        << "an end that was not said";
  }
  if (session.state() == State::connecting) return;
  if (!end.final_offset && end.written == end.total) {
    if (end.ending == Ending::close) {
      end.final_offset = end.written;
      return close(flow, end);
    }
    node.host->finish(session, world_.now());
    end.final_offset = end.written;
    world_.drain_stores(node);
  }
  if (end.final_offset && end.saw_end) close(flow, end);
}

void Flows::close(Flow&, FlowEnd& end) {
  Node& node = *world_.nodes[end.node];
  const auto session = end.session;
  node.host->close(*session, world_.now());
  world_.drain_stores(node);
  end.closed = true;
  end.session.reset();
}

void Flows::abort(Flow& flow, std::size_t index) {
  FlowEnd& end = flow.ends[index];
  if (end.closed || !end.session) return;
  flow.may_fail = true;
  end.aborted = true;
  world_.with(end.node, [&](Host& host) {
    host.abort(*end.session, world_.now());
    world_.drain_stores(*world_.nodes[end.node]);
    end.closed = true;
    end.session.reset();
  });
}

void Flows::check(const Flow& flow, std::size_t index) const {
  const FlowEnd& end = flow.ends[index];
  const FlowEnd& peer = flow.ends[1 - index];
  EXPECT_TRUE(!end.saw_end || !peer.final_offset || flow.may_fail || end.read == *peer.final_offset)
      << flow.target << " ended early at host " << end.node;
  EXPECT_LE(end.read, peer.total);
  if (end.candidates.size() > 1 && !end.candidates.back() && share_a_channel(end, peer))
    ADD_FAILURE() << flow.target << " goes on at host " << end.node << " from what another residence has written";
}

bool Flows::know(const std::map<EndpointName, Node::Residence>& former) const {
  return std::ranges::all_of(flows, [&](const auto& flow) {
    for (const std::size_t i : {0U, 1U}) {
      const auto moved = former.find(flow->ends[i].name);
      const FlowEnd& peer = flow->ends[1 - i];
      if (moved == former.end() || !flow->started || (peer.closed && flow->ends[i].closed)) continue;
      if (peer.closed || !peer.session || peer.session->image().peer_generation <= moved->second.generation)
        return false;
    }
    return true;
  });
}

bool Flows::done() const {
  return std::ranges::all_of(flows, [](const auto& flow) {
    return flow->ends[0].closed && (flow->ends[1].closed || (!flow->ends[1].session && flow->may_fail));
  });
}

std::string Flows::describe() const {
  std::ostringstream out;
  for (const auto& flow : flows)
    for (const auto& end : flow->ends) {
      out << flow->target << " at host " << end.node << (end.creator ? " (creator)" : "") << ": written " << end.written
          << " of " << end.total << ", read " << end.read << (end.saw_end ? ", saw the end" : "")
          << (end.closed ? ", closed" : "") << (end.paused ? ", paused" : "");
      if (end.session)
        out << ", " << name_of(end.session->state()) << " acked " << end.session->send_buffer().acked() << " sent "
            << end.session->send_buffer().sent() << " limit " << end.session->send_buffer().limit() << " held "
            << end.session->recv_buffer().held();
      out << '\n';
    }
  return out.str();
}

}  // namespace sessionfs::test
