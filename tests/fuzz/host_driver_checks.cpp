// What HostDriver demands of what a host sends, and of its state after every step.
#include "tests/fuzz/host_driver.hpp"

namespace sessionfs::fuzz {

// --- what the host sends ------------------------------------------------------------------------------------------

void HostDriver::inspect(ConnId conn, Conn& seen, Bytes frame) {
  while (true) {
    const auto event = seen.out.next(frame);
    if (std::holds_alternative<FrameReader::NeedMore>(event)) return;
    require(!std::holds_alternative<FrameReader::Violation>(event), "a host keeps the protocol");
    if (const auto* message = std::get_if<Message>(&event)) inspect_message(conn, *message);
    if (const auto* part = std::get_if<FrameReader::DataPart>(&event)) inspect_data(conn, *part);
  }
}

// Nothing is announced before it is stored.
void HostDriver::inspect_message(ConnId conn, const Message& message) {
  const auto session = session_of(conn);
  if (!session) {
    require(std::holds_alternative<ConnectDenied>(message) || std::holds_alternative<ResumeDenied>(message) ||
                std::holds_alternative<HandoffDenied>(message),
            "without a session there are only denials");
    return;
  }
  const auto image = store_.load(test::key_of(*session));
  require(image.has_value(), "a session is stored before it speaks");
  const Progress* progress = nullptr;
  if (const auto* m = std::get_if<Checkpoint>(&message)) progress = &m->progress;
  if (const auto* m = std::get_if<ResumeOk>(&message)) {
    progress = &m->progress;
    const std::pair resumed(image->peer_generation, image->peer_attempt);
    auto& accepted = track(session).accepted;
    require(resumed > accepted, "a RESUME is accepted once, and no older one after it");
    accepted = resumed;
  }
  if (const auto* m = std::get_if<Resume>(&message)) {
    progress = &m->progress;
    require(m->attempt == image->attempt, "an attempt is stored before it is made");
    require(m->generation == image->generation, "a generation is stored before it is shown");
  }
  if (progress != nullptr) {
    require(progress->held <= image->received.held, "only what is stored is held");
    require(progress->limit <= session->recv_buffer().limit(), "no more is asked for than there is room");
    require(!progress->has_finish || image->peer_end == progress->held, "a FINISH that is confirmed is stored");
  }
  const auto* finish = std::get_if<Finish>(&message);
  const auto* close = std::get_if<Close>(&message);
  if (finish == nullptr && close == nullptr) return;
  const std::uint64_t end = finish != nullptr ? finish->offset : close->offset;
  require(image->end == end, "an end is stored before it is announced");
  require(end == session->send_buffer().written(), "a stream ends where the last byte was written");
}

void HostDriver::inspect_data(ConnId conn, const FrameReader::DataPart& part) {
  const auto session = session_of(conn);
  require(session && session->channel() == conn, "data goes over the channel");
  const auto& buffer = session->send_buffer();
  const std::uint64_t end = part.offset + part.bytes.size();
  require(part.offset >= buffer.acked() && end <= buffer.written() && end <= buffer.limit(),
          "what is sent was written, and the peer has room for it");
  const auto image = store_.load(test::key_of(*session));
  require(image && image->sent.written >= end, "what is sent is stored before");
  if (!track(session).known_content) return;
  for (std::size_t i = 0; i < part.bytes.size(); ++i)
    require(part.bytes[i] == written_byte(part.offset + i), "what is sent is what was written");
}

// --- what holds at every time -------------------------------------------------------------------------------------

void HostDriver::check() {
  std::map<ConnId, std::size_t> users;
  for (auto& [key, stream] : streams_) {
    if (!stream.session) continue;  // in the middle of a restart
    check_stream(stream);
    const Session& session = *stream.session;
    for (const ConnId conn : {session.channel(), session.attempt_conn()}) {
      if (conn == 0) continue;
      require(conns_.contains(conn), "a session's connection is there");
      require(++users[conn] == 1, "a connection has one use");
    }
  }
  require(host_->endpoints().size() <= 8, "no endpoint comes from nowhere");
  check_conns();
}

void HostDriver::check_stream(Stream& stream) {
  const Session& session = *stream.session;
  const SendBuffer& send = session.send_buffer();
  const RecvBuffer& recv = session.recv_buffer();
  require(send.acked() <= send.sent() && send.sent() <= send.written(), "acked <= sent <= written");
  require(send.sent() <= send.limit(), "sent <= limit");
  require(send.written() - send.acked() == capacity_ - send.space(), "the send buffer has room for the rest");
  require(recv.read() <= recv.held() && recv.held() <= recv.received(), "read <= held <= received");
  require(recv.received() <= recv.limit() && recv.limit() - recv.read() == capacity_, "received <= read + capacity");
  require(recv.held() == recv.received(), "what was received has been stored");
  require(stream.first + stream.received.size() == recv.received(), "what was received is what was sent");
  require(send.acked() >= stream.acked && send.written() >= stream.written && recv.read() >= stream.read &&
              recv.held() >= stream.held,
          "no offset goes back");
  stream.acked = send.acked();
  stream.written = send.written();
  stream.read = recv.read();
  stream.held = recv.held();
  const State state = session.state();
  if (state != State::suspended && state != State::closed) {
    require(session.next_timeout().has_value(), "a session that goes on has a timer");
    require(host_->next_timeout() && *host_->next_timeout() <= *session.next_timeout(), "the host knows of it");
  }
  require(session.flows() <= (session.channel() != 0), "a session whose data flows has its channel");
  require((state == State::moving) <= (session.attempt_conn() != 0), "who moves has an attempt");
  require(session.attempt_conn() == 0 || (state != State::suspended && state != State::closed),
          "only who wants to go on has an attempt");
}

void HostDriver::check_conns() {
  for (const auto& [conn, seen] : conns_) {
    const auto session = session_of(conn);
    if (seen.dialling) {
      require(session && session->attempt_conn() == conn, "nobody dials for nothing");
    } else if (!seen.blocked) {
      require(!session || !session->wants_transmit(conn), "what can be sent is sent");
      require(session || !seen.greeted, "a connection that is nobody's is closed");
    }
    if (!session && !seen.greeted && !seen.dialled)
      require(host_->next_timeout() && *host_->next_timeout() <= now_ + first_message_timeout,
              "a connection that says nothing is closed in time");
  }
}

}  // namespace sessionfs::fuzz
