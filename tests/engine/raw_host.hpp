// One Host, and a peer that a test plays by hand, frame by frame.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/host.hpp"
#include "tests/sim/memory_store.hpp"

namespace sessionfs::test {

inline EndpointName name_of(std::string_view text) { return EndpointName::parse(text).value(); }

class RawHost {
 public:
  static constexpr std::size_t capacity_bytes = 4096;
  /// The endpoint that resides here (with the service `file`), its peer, and somebody else.
  const EndpointName bob = name_of("bob@work.test");
  const EndpointName alice = name_of("alice@home.test");
  const EndpointName mallory = name_of("mallory@home.test");
  const SessionId id{{1, 2, 3}};

  struct Conn {
    FrameReader reader;
    std::vector<Message> messages;  // that the host has sent
    std::string data;               // and the bytes
    std::uint64_t data_offset = 0;  // of the first of them
    bool closed = false;
  };

  RawHost() {
    host = std::make_unique<Host>([this](const EndpointName& local, const SessionId& made, bool creator) {
      return std::optional(store.make({local, made, creator}));
    });
    (void)host->add_endpoint(bob, 3, now).services["file"];
  }

  // --- what the peer does ---------------------------------------------------------------------------------------
  ConnId incoming(const EndpointName& peer) {
    const ConnId conn = host->handle_incoming(bob, peer, now);
    conns[conn] = {};
    pump();
    return conn;
  }
  void feed(ConnId conn, const Message& message) {
    const Frame frame(message);
    host->handle_input(conn, frame.bytes(), now);
    pump();
  }
  void feed_data(ConnId conn, std::uint64_t offset, std::string_view text) {
    Bytes bytes;
    const auto header = data_header(offset, text.size());
    bytes.insert(bytes.end(), header.begin(), header.end());
    const auto body = std::as_bytes(std::span(text));
    bytes.insert(bytes.end(), body.begin(), body.end());
    host->handle_input(conn, bytes, now);
    pump();
  }
  void cut(ConnId conn) {
    conns.at(conn).closed = true;
    host->handle_closed(conn, now);
    pump();
  }
  /// The host's next dial, when it comes, comes through.
  ConnId answer_next_dial() {
    for (const auto before = dials.size(); dials.size() == before;) {
      if (!host->next_timeout()) throw std::logic_error("the host will not dial");
      advance(*host->next_timeout() - now);
    }
    return answer_dial();
  }
  /// The host's newest dial comes through.
  ConnId answer_dial() {
    const ConnId conn = dials.back();
    conns[conn] = {};
    host->handle_dialled(conn, now);
    pump();
    return conn;
  }
  void refuse_dial(DialFailure failure = DialFailure::unreachable) {
    host->handle_dial_failed(dials.back(), failure, now);
    pump();
  }

  // --- what the host has done -----------------------------------------------------------------------------------
  /// The last message of this kind that it has sent on `conn`; null when there is none.
  template <typename T>
  const T* last(ConnId conn) const {
    const auto& messages = conns.at(conn).messages;
    for (auto it = messages.rbegin(); it != messages.rend(); ++it)
      if (const auto* found = std::get_if<T>(&*it)) return found;
    return nullptr;
  }
  template <typename T>
  [[nodiscard]] std::size_t count(ConnId conn) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        conns.at(conn).messages, [](const Message& message) { return std::holds_alternative<T>(message); }));
  }
  [[nodiscard]] bool closed(ConnId conn) const { return conns.at(conn).closed; }

  // --- ready-made sessions --------------------------------------------------------------------------------------
  Connect connect_message() const { return {protocol_version, id, 7, capacity_bytes, "file"}; }
  Resume resume_message(std::uint64_t attempt, bool from_creator, std::uint64_t held = 0) const {
    return {protocol_version, id, 7, attempt, from_creator, {held, held + capacity_bytes, false, false}, 3};
  }
  /// Alice has connected to bob's `file`; the session is accepted.
  ConnId accept_from_alice() {
    const ConnId conn = incoming(alice);
    feed(conn, connect_message());
    session = host->accept(*host->find_endpoint(bob), "file");
    pump();
    return conn;
  }
  /// Bob has connected to alice's `file`.
  ConnId connect_to_alice() {
    session = host->connect(*host->find_endpoint(bob), DialName::parse("file.alice@home.test").value(), id, 1, now);
    pump();
    const ConnId conn = answer_dial();
    feed(conn, ConnectOk{7, capacity_bytes});
    return conn;
  }

  // --- records --------------------------------------------------------------------------------------------------
  /// What the record of bob says of the session now.
  [[nodiscard]] SessionRecord copy() const {
    EndpointRecord record;
    record.name = bob;
    record.generation = session->image().generation;
    record.services = {"file"};
    record.sessions.push_back(record_of(*session));
    return decode_endpoint_record(encode(record)).value().sessions.at(0);
  }
  /// Bob resides here in `generation`, with the session of the record.
  void load(const SessionRecord& record, std::uint64_t generation) {
    Endpoint& endpoint = host->add_endpoint(bob, generation, now);
    const SessionKey key{bob, record.image.id, record.image.creator};
    auto memories = store.make(key);
    std::ranges::copy(record.sent, memories.send->bytes().begin());
    std::ranges::copy(record.received, memories.receive->bytes().begin());
    session = host->restore(endpoint, record.image, std::move(memories), 1, now);
    pump();
  }

  // --- the driver -----------------------------------------------------------------------------------------------
  void pump() {
    while (const auto action = host->poll_action()) perform(*action);
  }
  /// Calls `call` with the host, and does what follows.
  template <typename F>
  void with(F call) {
    call(*host);
    pump();
  }
  /// Time passes; timers fire when they are due.
  void advance(Duration time) {
    const Time end = now + time;
    while (true) {
      const auto next = host->next_timeout();
      if (!next || *next > end) break;
      now = std::max(now, *next);
      host->handle_timeout(now);
      pump();
    }
    now = end;
  }
  std::size_t write(std::string_view text) {
    const std::size_t taken = host->write(*session, std::as_bytes(std::span(text)), now);
    pump();
    return taken;
  }
  /// What can be read, taken.
  std::string read() {
    std::string out;
    const Parts parts = session->readable(capacity_bytes);
    for (const auto& part : parts) out.append(reinterpret_cast<const char*>(part.data()), part.size());
    host->consume(*session, out.size(), now);
    pump();
    return out;
  }

  MemoryStore store{capacity_bytes};
  std::unique_ptr<Host> host;
  Time now{std::chrono::seconds(100)};
  std::shared_ptr<Session> session;
  std::map<ConnId, Conn> conns;
  std::vector<ConnId> dials;
  std::vector<std::shared_ptr<Session>> forgotten;
  std::vector<Action> handed_over;
  std::vector<Action> told;  // after host->tell_transitions()
  std::size_t arrivals = 0;
  bool blocked = false;  // the connections take nothing

 private:
  void perform(const Action& action) {
    switch (action.kind) {
      case Action::Kind::store:
        if (!store.contains(key_of(*action.session))) return;
        store.save(*action.session);
        return host->handle_stored(*action.session, action.session->recv_buffer().received(), now);
      case Action::Kind::dial:
        dials.push_back(action.conn);
        return;
      case Action::Kind::transmit:
        return transmit(action.conn);
      case Action::Kind::close:
        conns[action.conn].closed = true;
        return;
      case Action::Kind::tell:
        told.push_back(action);
        return;
      case Action::Kind::wake:
        return;
      case Action::Kind::arrived:
        ++arrivals;
        return;
      case Action::Kind::forget:
        store.remove(key_of(*action.session));
        forgotten.push_back(action.session);
        return;
      case Action::Kind::hand_over:
        handed_over.push_back(action);
        return;
    }
  }

  void transmit(ConnId conn) {
    Transmit out;
    while (!blocked && host->poll_transmit(conn, out, now)) {
      Bytes bytes(out.head().begin(), out.head().end());
      for (const auto& part : out.body) bytes.insert(bytes.end(), part.begin(), part.end());
      take(conns[conn], bytes);
    }
  }

  static void take(Conn& conn, std::span<const std::byte> bytes) {
    while (true) {
      const auto event = conn.reader.next(bytes);
      if (std::holds_alternative<FrameReader::NeedMore>(event)) return;
      ASSERT_FALSE(std::holds_alternative<FrameReader::Violation>(event));
      if (const auto* message = std::get_if<Message>(&event)) conn.messages.push_back(*message);
      if (const auto* part = std::get_if<FrameReader::DataPart>(&event)) {
        if (conn.data.empty()) conn.data_offset = part->offset;
        conn.data.append(reinterpret_cast<const char*>(part->bytes.data()), part->bytes.size());
      }
    }
  }
};

}  // namespace sessionfs::test
