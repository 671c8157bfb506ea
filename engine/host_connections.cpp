// The host's connections: the first message says what one is for, and from then on it belongs to a session.
#include <algorithm>

#include "engine/host.hpp"

namespace sessionfs {
namespace {

std::uint64_t seed_of(const SessionId& id) {
  // Identifiers are random, so their bits seed the jitter of a session that a peer has begun.
  std::uint64_t seed = 0;
  for (const auto byte : id.bytes) seed = seed * 257 + byte;
  return seed;
}

}  // namespace

ConnId Host::handle_incoming(const EndpointName& local, const EndpointName& peer, Time now) {
  const ConnId conn = ++last_conn_;
  connections_[conn] = {.local = local, .peer = peer, .reader = {}, .session = {}, .replies = {}, .opened = now};
  silent_.insert({now + first_message_timeout, conn});
  return conn;
}

void Host::handle_dialled(ConnId conn, Time now) {
  const auto found = connections_.find(conn);
  if (found == connections_.end()) return;
  const auto session = found->second.session;
  session->handle_dialled(conn, now);
  settle(*session, now);
}

void Host::handle_dial_failed(ConnId conn, DialFailure failure, Time now) {
  const auto found = connections_.find(conn);
  if (found == connections_.end()) return;
  const auto session = found->second.session;
  connections_.erase(found);
  session->handle_dial_failed(conn, failure, now);
  settle(*session, now);
}

void Host::handle_closed(ConnId conn, Time now) {
  const auto found = connections_.find(conn);
  if (found == connections_.end()) return;
  const auto session = found->second.session;
  silent_.erase({found->second.opened + first_message_timeout, conn});
  connections_.erase(found);
  if (!session) return;
  session->handle_closed(conn, now);
  settle(*session, now);
}

void Host::handle_input(ConnId conn, std::span<const std::byte> bytes, Time now) {
  while (true) {
    // Looked up each time: what a message causes may end the connection.
    const auto found = connections_.find(conn);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    const auto event = connection.reader.next(bytes);
    if (std::holds_alternative<FrameReader::NeedMore>(event)) {
      if (connection.session) settle(*std::shared_ptr(connection.session), now);
      return;
    }
    bool good = !std::holds_alternative<FrameReader::Violation>(event);
    if (const auto* part = std::get_if<FrameReader::DataPart>(&event))
      good = connection.session && connection.session->handle_data(conn, *part, now);
    if (const auto* message = std::get_if<Message>(&event)) {
      if (connection.session) {
        const auto session = connection.session;
        good = session->handle_message(conn, *message, now);
        settle(*session, now);
      } else if (!connection.answered) {
        handle_message(conn, connection, *message, now);
      }
    }
    if (good) continue;
    const auto session = connection.session;
    drop_connection(conn, false);
    if (!session) return;
    session->handle_closed(conn, now);
    return settle(*session, now);
  }
}

void Host::handle_message(ConnId conn, Connection& connection, const Message& message, Time now) {
  silent_.erase({connection.opened + first_message_timeout, conn});
  if (const auto* connect = std::get_if<Connect>(&message)) {
    handle_connect(conn, connection, *connect, now);
  } else if (const auto* resume = std::get_if<Resume>(&message)) {
    handle_resume(conn, connection, *resume, now);
  } else if (const auto* handoff = std::get_if<Handoff>(&message)) {
    handle_handoff(conn, connection, *handoff);
  } else {
    drop_connection(conn, false);
  }
}

const Tombstone* Host::find_tombstone(const Endpoint& endpoint, const Connection& connection, const SessionId& id,
                                      bool from_creator) {
  const auto found = std::ranges::find_if(endpoint.tombstones, [&](const Tombstone& tombstone) {
    return tombstone.id == id && tombstone.peer == connection.peer && tombstone.creator != from_creator;
  });
  return found == endpoint.tombstones.end() ? nullptr : &*found;
}

std::optional<ConnectDenial> Host::refusal(Endpoint* endpoint, const Connection& connection, const Connect& message) {
  if (message.version != protocol_version) return ConnectDenial::version;
  if (endpoint == nullptr || endpoint->frozen) return ConnectDenial::not_here;
  const auto service = endpoint->services.find(message.service);
  if (service == endpoint->services.end()) return ConnectDenial::no_service;
  if (!endpoint->access.allows(message.service, connection.peer)) return ConnectDenial::access;
  const auto known = sessions_of_.find(connection.peer);
  if (service->second.backlog.size() >= max_backlog_sessions || sessions_.size() >= max_sessions ||
      (known != sessions_of_.end() && known->second >= max_sessions_of_a_peer))
    return ConnectDenial::backlog_full;
  return std::nullopt;
}

void Host::handle_connect(ConnId conn, Connection& connection, const Connect& message, Time now) {
  auto session = find_session(message.id, connection.local, false);
  if (session && session->peer() != connection.peer) return drop_connection(conn, false);
  if (!session) {
    Endpoint* endpoint = find_endpoint(connection.local);
    if (endpoint != nullptr && find_tombstone(*endpoint, connection, message.id, true) != nullptr)
      return drop_connection(conn, false);  // a CONNECT that was long on its way: its session has come and gone
    auto denial = refusal(endpoint, connection, message);
    std::optional<Session::Memories> memories;
    SessionImage fresh;
    if (!denial) {
      fresh.file_name = endpoint->new_session_name(message.service, connection.peer);
      // The name first: what is made for a session that is then refused would stay.
      if (fresh.file_name.size() <= max_file_name_bytes) memories = make_memories_(connection.local, message.id, false);
      if (!memories) denial = ConnectDenial::backlog_full;
    }
    if (denial) return reply(conn, ConnectDenied{*denial});
    fresh.id = message.id;
    fresh.local = connection.local;
    fresh.peer = connection.peer;
    fresh.service = message.service;
    fresh.generation = endpoint->generation;
    session = std::make_shared<Session>(fresh, std::move(*memories), seed_of(message.id), now);
    add_session(*endpoint, session, now);
    endpoint->services.find(message.service)->second.backlog.push_back(session);
    actions_.push_back(
        {.kind = Action::Kind::arrived, .session = session, .endpoint = endpoint->name, .service = message.service});
  }
  if (!session->handle_connect(conn, message, now)) return drop_connection(conn, false);
  if (session->channel() == conn) connection.session = session;
  settle(*session, now);
}

void Host::handle_resume(ConnId conn, Connection& connection, const Resume& message, Time now) {
  if (message.version != protocol_version) return reply(conn, ResumeDenied{ResumeDenial::version, 0, 0, 0});
  const auto session = find_session(message.id, connection.local, !message.from_creator);
  if (session && session->peer() == connection.peer) {
    session->handle_resume(conn, message, now);
    if (session->channel() == conn) connection.session = session;
    return settle(*session, now);
  }
  ResumeDenied denial{ResumeDenial::unknown, 0, 0, 0};
  if (const auto endpoint = endpoints_.find(connection.local);
      endpoint != endpoints_.end() && !endpoint->second.frozen) {
    if (const auto* tombstone = find_tombstone(endpoint->second, connection, message.id, message.from_creator))
      denial = {ResumeDenial::closed, tombstone->held, tombstone->end, 0};
    denial.generation = endpoint->second.generation;
  } else {
    denial.reason = ResumeDenial::not_here;
  }
  reply(conn, denial);
}

// Only the endpoint itself may ask for its state. The answer is large, and made by the driver.
void Host::handle_handoff(ConnId conn, const Connection& connection, const Handoff& message) {
  const EndpointName name = connection.local;
  if (connection.peer != name) return drop_connection(conn, false);
  if (message.version != protocol_version) return reply(conn, HandoffDenied{HandoffDenial::version, 0});
  connections_.erase(conn);
  actions_.push_back({.kind = Action::Kind::hand_over,
                      .conn = conn,
                      .session = {},
                      .endpoint = name,
                      .service = {},
                      .generation = message.generation});
}

bool Host::poll_transmit(ConnId conn, Transmit& out, Time now) {
  const auto found = connections_.find(conn);
  if (found == connections_.end()) return false;
  Connection& connection = found->second;
  if (!connection.replies.empty()) {
    const auto bytes = connection.replies.front().bytes();
    std::ranges::copy(bytes, out.head_bytes.begin());
    out.head_size = bytes.size();
    out.body = {};
    connection.replies.pop_front();
    return true;
  }
  if (connection.answered) {
    drop_connection(conn, true);
    return false;
  }
  if (!connection.session) return false;
  const auto session = connection.session;
  const bool sent = session->poll_transmit(conn, out, now);
  if (sent) {
    update_timer(slots_.at(session.get()));  // what was sent must be acknowledged in time
  } else {
    settle(*session, now);
  }
  return sent;
}

}  // namespace sessionfs
