#include "tests/fuzz/host_driver.hpp"

namespace sessionfs::fuzz {
namespace {

constexpr std::size_t max_actions_at_once = 10000;
constexpr std::size_t max_frames_at_once = 1000;
constexpr std::size_t max_timers_at_once = 10000;

}  // namespace

HostDriver::HostDriver(std::size_t capacity_bytes) : capacity_(capacity_bytes), store_(capacity_bytes) { make_host(); }

void HostDriver::make_host() {
  host_ = std::make_unique<Host>([this](const EndpointName& local, const SessionId& id, bool creator) {
    // Ours to bound: a daemon has its disk.
    return streams_.size() < max_streams ? std::optional(store_.make({local, id, creator})) : std::nullopt;
  });
  host_->tell_transitions();
}

std::shared_ptr<Session> HostDriver::session_of(ConnId conn) const {
  for (const auto& [key, stream] : streams_)
    if (stream.session->channel() == conn || stream.session->attempt_conn() == conn) return stream.session;
  return nullptr;
}

// --- what happens -------------------------------------------------------------------------------------------------

ConnId HostDriver::incoming(const EndpointName& local, const EndpointName& peer) {
  if (conns_.size() >= max_open_conns) return 0;
  const ConnId conn = host_->handle_incoming(local, peer, now_);
  require(!conns_.contains(conn), "a connection has a number of its own");
  conns_[conn].peer = peer;
  settle();
  return conn;
}

void HostDriver::dial_answered(ConnId conn) {
  conns_.at(conn).dialling = false;
  host_->handle_dialled(conn, now_);
  settle();
}

void HostDriver::dial_failed(ConnId conn, DialFailure failure) {
  conns_.erase(conn);
  host_->handle_dial_failed(conn, failure, now_);
  settle();
}

// Piece by piece, as a reader of our own cuts it, so that it is known what each piece was.
void HostDriver::feed(ConnId conn, Bytes bytes) {
  while (!bytes.empty()) {
    const auto found = conns_.find(conn);
    if (found == conns_.end() || found->second.dialling) return;
    Bytes rest = bytes;
    const auto event = found->second.in.next(rest);
    const Bytes piece = bytes.first(bytes.size() - rest.size());
    if (!std::holds_alternative<FrameReader::NeedMore>(event)) found->second.greeted = true;
    const auto session = session_of(conn);
    const std::uint64_t before = session ? session->recv_buffer().received() : 0;
    host_->handle_input(conn, piece, now_);
    if (session) note_received(session, before, event);
    settle();
    const bool violated = std::holds_alternative<FrameReader::Violation>(event);
    require(!violated || !conns_.contains(conn), "who breaks the protocol is let go");
    if (violated) return;
    bytes = rest;
  }
}

void HostDriver::note_received(const std::shared_ptr<Session>& session, std::uint64_t before,
                               const FrameReader::Event& event) {
  const std::uint64_t after = session->recv_buffer().received();
  if (after == before) return;
  require(after > before, "what was received stays received");
  const auto* part = std::get_if<FrameReader::DataPart>(&event);
  require(part != nullptr, "only DATA brings bytes");
  require(part->offset <= before && after - part->offset <= part->bytes.size(), "bytes are taken at their offset");
  const auto fresh = part->bytes.subspan(before - part->offset, after - before);
  auto& received = track(session).received;
  received.insert(received.end(), fresh.begin(), fresh.end());
}

void HostDriver::feed_data(ConnId conn, std::uint64_t offset, std::size_t size, std::byte content) {
  std::vector<std::byte> frame(frame_header_bytes + data_header_bytes + size, content);
  std::ranges::copy(data_header(offset, size), frame.begin());
  feed(conn, frame);
}

void HostDriver::cut(ConnId conn) {
  conns_.erase(conn);
  host_->handle_closed(conn, now_);
  settle();
}

void HostDriver::set_blocked(ConnId conn, bool blocked) {
  conns_.at(conn).blocked = blocked;
  if (!blocked) transmit(conn);
  settle();
}

void HostDriver::advance(Duration time) {
  const Time end = now_ + time;
  for (std::size_t i = 0;; ++i) {
    const auto next = host_->next_timeout();
    if (!next || *next > end) break;
    require(i < max_timers_at_once, "timers end");
    now_ = std::max(now_, *next);
    host_->handle_timeout(now_);
    const auto again = host_->next_timeout();
    require(!again || *again > now_, "a timer that was handled is over");
    settle();
  }
  now_ = end;
}

void HostDriver::network_change() {
  host_->handle_network_change(now_);
  settle();
}

void HostDriver::restart(bool moved) {
  std::map<EndpointName, Endpoint> endpoints;
  for (const auto& [name, endpoint] : host_->endpoints())
    if (!endpoint.removed) endpoints.emplace(name, endpoint);
  host_.reset();
  conns_.clear();
  test::Random nothing(0);
  store_.crashed(false, nothing);
  const auto before = std::move(streams_);
  streams_.clear();
  make_host();
  for (const auto& [name, old] : endpoints) {
    Endpoint& endpoint = host_->add_endpoint(name, old.generation + (moved ? 1 : 0), now_);
    endpoint.tombstones = old.tombstones;
    for (const auto& [service, ignored] : old.services) (void)endpoint.services[service];
  }
  for (const auto& key : store_.keys()) {
    const auto image = store_.load(key);
    require(image.has_value(), "what was stored can be loaded");
    Endpoint* endpoint = host_->find_endpoint(key.local);
    if (endpoint == nullptr) {
      store_.remove(key);
      continue;
    }
    if (const auto old = before.find(key); old != before.end()) {
      streams_[key] = old->second;
      streams_[key].session = nullptr;
    }
    host_->restore(*endpoint, *image, store_.memories(key), 1, now_);
  }
  settle();
  std::erase_if(streams_, [](const auto& entry) { return !entry.second.session; });
}

void HostDriver::travel(const EndpointName& name, bool elsewhere) {
  Endpoint* endpoint = host_->find_endpoint(name);
  if (endpoint == nullptr) return;
  EndpointRecord record;
  record.name = name;
  record.generation = endpoint->generation;
  record.tombstones.assign(endpoint->tombstones.begin(), endpoint->tombstones.end());
  for (const auto& [session, travels] : host_->freeze(*endpoint, now_)) {
    require(session->state() == State::closed && session->readable(1)[0].empty(), "nothing of it is read here");
    streams_.at(test::key_of(*session)).session = nullptr;
    record.sessions.push_back(travels);
  }
  require(host_->sessions_at(name).empty(), "all have left");
  require(!host_->poll_store(), "what has left is not stored any more");
  const auto bytes = encode(record);
  const auto arrived = decode_endpoint_record(bytes);
  require(arrived && encode(*arrived) == bytes, "a record comes as it was sent");
  if (elsewhere) {
    endpoint = &host_->add_endpoint(name, record.generation + 1, now_);
  } else {
    Host::thaw(*endpoint);
  }
  for (const auto& session : arrived->sessions) {
    const test::SessionKey key{session.image.local, session.image.id, session.image.creator};
    store_.remove(key);
    const auto memories = store_.make(key);
    std::ranges::copy(session.sent, memories.send->bytes().begin());
    std::ranges::copy(session.received, memories.receive->bytes().begin());
    require(host_->restore(*endpoint, session.image, store_.memories(key), 1, now_) != nullptr, "it goes on here");
  }
  settle();
  std::erase_if(streams_, [](const auto& entry) { return !entry.second.session; });
}

bool HostDriver::restore(const SessionImage& image) {
  const test::SessionKey key{image.local, image.id, image.creator};
  if (streams_.contains(key)) return false;
  Endpoint* endpoint = host_->find_endpoint(image.local);
  if (endpoint == nullptr) endpoint = &host_->add_endpoint(image.local, image.generation, now_);
  (void)endpoint->services[image.service];
  (void)store_.make(key);
  streams_[key].known_content = false;
  const auto session = host_->restore(*endpoint, image, store_.memories(key), 1, now_);
  settle();
  return session && streams_.contains(key);
}

// --- what applications do -----------------------------------------------------------------------------------------

std::shared_ptr<Session> HostDriver::connect(const EndpointName& local, std::string_view target, const SessionId& id) {
  Endpoint* endpoint = host_->find_endpoint(local);
  const auto dial = DialName::parse(target);
  if (endpoint == nullptr || !dial || endpoint->sessions.contains(dial->str())) return nullptr;
  auto session = host_->connect(*endpoint, *dial, id, 1, now_);
  settle();
  return session;
}

std::shared_ptr<Session> HostDriver::accept(const EndpointName& local, std::string_view service) {
  Endpoint* endpoint = host_->find_endpoint(local);
  auto session = endpoint == nullptr ? nullptr : host_->accept(*endpoint, service);
  settle();
  return session;
}

void HostDriver::write(const std::shared_ptr<Session>& session, std::size_t count) {
  const std::uint64_t from = session->send_buffer().written();
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = written_byte(from + i);
  const bool ended = session->write_ended() || session->state() == State::closed;
  const std::size_t taken = host_->write(*session, bytes, now_);
  require(taken <= count && (!ended || taken == 0), "no more is taken than was given, and nothing after the end");
  require(session->send_buffer().written() == from + taken, "what is taken is written");
  settle();
}

void HostDriver::read(const std::shared_ptr<Session>& session, std::size_t count, Reader reader) {
  const std::uint64_t from = session->recv_buffer().read();
  std::vector<std::byte> bytes;
  for (const auto& part : session->readable(count)) bytes.insert(bytes.end(), part.begin(), part.end());
  require(bytes.size() == std::min(count, session->recv_buffer().readable_bytes()), "what is readable can be read");
  if (bytes.empty()) return;
  const auto& stream = track(session);
  require(from >= stream.first && from - stream.first + bytes.size() <= stream.received.size() &&
              std::equal(bytes.begin(), bytes.end(), stream.received.begin() + std::ptrdiff_t(from - stream.first)),
          "the application gets what the peer has sent");
  if (reader == Reader::gives_up) return;
  store_.note_given(test::key_of(*session), from + bytes.size());
  if (reader == Reader::dies) return restart(false);
  host_->consume(*session, bytes.size(), now_);
  settle();
}

// --- the driver ---------------------------------------------------------------------------------------------------

void HostDriver::settle() {
  for (std::size_t i = 0;; ++i) {
    const auto action = host_->poll_action();
    if (!action) break;
    require(i < max_actions_at_once, "what follows from one event ends");
    perform(*action);
  }
  check();
}

HostDriver::Stream& HostDriver::track(const std::shared_ptr<Session>& session) {
  const test::SessionKey key = test::key_of(*session);
  Stream& stream = streams_[key];
  if (stream.session == session) return stream;
  const auto& received = session->recv_buffer();
  if (stream.session != nullptr) {
    require(stream.session->gone(), "a session is unique as long as it lives");
    stream = {};
  }
  stream.session = session;
  if (stream.written == 0 && stream.received.empty()) {
    // New here: what it holds already, if anything, is the zeros of its fresh memory.
    stream.first = received.read();
    stream.received.resize(received.received() - received.read());
  } else {
    require(received.received() == stream.first + stream.received.size(), "what was received is there after a restart");
  }
  return stream;
}

void HostDriver::perform(const Action& action) {
  switch (action.kind) {
    case Action::Kind::store: {
      const auto key = test::key_of(*action.session);
      if (!store_.contains(key)) return;  // forgotten meanwhile
      track(action.session);
      store_.save(*action.session);
      const auto image = store_.load(key);
      require(image && encode(*image) == encode(action.session->image()), "what is stored is loaded as it was");
      require(!image->end || *image->end == image->sent.written, "nothing is written behind the end");
      require(!image->peer_end || *image->peer_end >= image->received.held, "nothing is taken behind the peer's end");
      return host_->handle_stored(*action.session, action.session->recv_buffer().received(), now_);
    }
    case Action::Kind::dial: {
      require(!conns_.contains(action.conn), "a connection has a number of its own");
      Conn& conn = conns_[action.conn];
      conn.peer = action.session->peer();
      conn.dialling = conn.dialled = true;
      return;
    }
    case Action::Kind::transmit:
      return transmit(action.conn);
    case Action::Kind::close:
      require(conns_.erase(action.conn) == 1, "a connection is closed once, and not after its end");
      return;
    case Action::Kind::tell: {
      const auto& [transition, written, acked, held, read] = action.transitioned;
      const Transition* row = find_transition(transition.state, transition.event);
      require(row != nullptr && row->number == transition.number, "a transition is one of the table");
      require(acked <= written && read <= held, "a transition is told with where the streams are");
      return;
    }
    case Action::Kind::wake:
    case Action::Kind::arrived:
      return;
    case Action::Kind::forget: {
      require(action.session->gone(), "only what is over is forgotten");
      const auto found = streams_.find(test::key_of(*action.session));
      if (found == streams_.end() || found->second.session != action.session) return;  // another one by now
      store_.remove(found->first);
      streams_.erase(found);
      return;
    }
    case Action::Kind::hand_over:
      conns_.erase(action.conn);  // it is ours now, and we close it
      return;
  }
}

void HostDriver::transmit(ConnId conn) {
  const auto found = conns_.find(conn);
  if (found == conns_.end() || found->second.dialling || found->second.blocked) return;
  Transmit out;
  std::size_t frames = 0;
  while (host_->poll_transmit(conn, out, now_)) {
    require(++frames < max_frames_at_once, "a host does not send for ever");
    std::vector<std::byte> frame(out.head().begin(), out.head().end());
    for (const auto& part : out.body) frame.insert(frame.end(), part.begin(), part.end());
    inspect(conn, found->second, frame);
  }
}

}  // namespace sessionfs::fuzz
