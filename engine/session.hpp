// A session: one persistent, ordered, reliable two-way stream of bytes between two endpoints (thesis 3.1, 3.4, 3.8).
//
// Sans-IO: handle_*() take what has happened and the time; poll_*() and next_timeout() say what to do. Where the
// session is says state(); what follows an event says the table in transitions.cpp, and nothing else moves it.
//
// A connection carries at most one session. `attempt` is the connection on which we try to connect or resume,
// `channel` the live one on which data flows: there is never more than one, and the old one is let go the moment
// that a new one is proven.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/image.hpp"
#include "engine/time.hpp"
#include "engine/transitions.hpp"
#include "engine/wire.hpp"

namespace sessionfs {

/// A connection between two daemons, as numbered by the Host. 0 is none.
using ConnId = std::uint64_t;

enum class DialFailure : std::uint8_t { no_endpoint, unreachable, timed_out, untrusted, not_here };

inline constexpr Duration checkpoint_delay = std::chrono::milliseconds(50);
inline constexpr Duration heartbeat_interval = std::chrono::seconds(5);
inline constexpr Duration idle_silence_limit = 3 * heartbeat_interval;
/// Doubled after each loss that it has caused, up to idle_silence_limit, and twice what an acknowledgement takes at
/// least: on a slow link one record may be on its way for longer.
inline constexpr Duration unacked_silence_limit = std::chrono::seconds(3);
/// No less for idle_silence_limit: one heartbeat may be late.
inline constexpr Duration least_idle_silence_limit = 2 * heartbeat_interval;
inline constexpr Duration attempt_timeout = std::chrono::seconds(5);
/// For finding the peer: asking for its addresses, and a handshake of attempt_timeout with each of the first ones.
inline constexpr Duration dial_timeout = std::chrono::seconds(15);
inline constexpr Duration connect_timeout = std::chrono::seconds(10);
inline constexpr Duration first_retry_delay = std::chrono::milliseconds(100);
inline constexpr Duration last_retry_delay = std::chrono::seconds(30);
inline constexpr Duration collision_wait = std::chrono::seconds(2);
/// An attempt is given this time before a change of the network makes a new one: changes that follow each other closely
/// would let none come to its end.
inline constexpr Duration young_attempt_limit = std::chrono::milliseconds(500);
/// Each attempt that was cut short by a change of the network gives the next one twice the time, up to this.
inline constexpr Duration longest_young_attempt_limit = std::chrono::seconds(8);
/// For the answer to a RESUME while the channel still carries data. No checkpoint is sent meanwhile, so it is shorter
/// than unacked_silence_limit, after which a peer that waits for one takes the channel for dead.
inline constexpr Duration move_timeout = std::chrono::seconds(2);
/// From a connection over a better link that could not be made to the next try, doubled each time ...
inline constexpr Duration first_move_delay = std::chrono::seconds(1);
/// ... up to this.
inline constexpr Duration last_move_delay = std::chrono::seconds(60);
/// A channel that breaks sooner counts as a failed attempt.
inline constexpr Duration short_channel_limit = std::chrono::seconds(1);

/// When nothing has been heard from the peer for so long, the channel is taken for dead. `unacked` is at most `idle`.
struct SilenceLimits {
  Duration unacked = unacked_silence_limit;
  Duration idle = idle_silence_limit;  // when nothing waits to be acknowledged
};

/// Why data has stopped to flow.
struct Pause {
  Event event = Event::channel_lost;
  bool silent = false;  // nothing was heard from the peer for too long
  Time at{};
};

/// A transition that a session has made, and its streams right after it.
struct Transitioned {
  Transition transition{};
  std::uint64_t written = 0;  // of ours
  std::uint64_t acked = 0;
  std::uint64_t held = 0;  // of the peer's
  std::uint64_t read = 0;
};

/// What a session asks of its Host.
struct SessionAction {
  enum class Kind : std::uint8_t {
    dial,   // make a connection to the peer and bind_attempt() it
    deny,   // answer RESUME_DENIED on `conn`, which is not ours
    close,  // let go of `conn`, after what is still to be sent on it if `flush`
  };
  Kind kind{};
  ConnId conn = 0;
  bool flush = false;
  ResumeDenied denial;
};

/// One frame to send: `head`, then `body`.
struct Transmit {
  std::array<std::byte, Frame::max_bytes> head_bytes{};
  std::size_t head_size = 0;
  Parts body;

  [[nodiscard]] std::span<const std::byte> head() const { return std::span(head_bytes).first(head_size); }
};

class Session {
 public:
  struct Memories {
    std::unique_ptr<Memory> send;
    std::unique_ptr<Memory> receive;
  };

  /// A new session: of its creator it begins in CONNECTING and dials, of the other side in ACTIVE once accept() is
  /// called. `seed` makes the jitter of its retries.
  Session(const SessionImage& image, Memories memories, std::uint64_t seed, Time now);

  /// A stored session goes on: in READY_RESUME, SUSPENDED or CLOSED. One that never stood is over.
  static std::shared_ptr<Session> restore(const SessionImage& image, Memories memories, std::uint64_t seed, Time now);

  void set_silence_limits(const SilenceLimits& limits);

  // --- what it is -----------------------------------------------------------------------------------------------
  [[nodiscard]] const SessionId& id() const { return fixed_.id; }
  [[nodiscard]] const EndpointName& local() const { return fixed_.local; }
  [[nodiscard]] const EndpointName& peer() const { return fixed_.peer; }
  [[nodiscard]] const std::string& service() const { return fixed_.service; }
  [[nodiscard]] const std::string& file_name() const { return fixed_.file_name; }
  [[nodiscard]] bool creator() const { return fixed_.creator; }
  [[nodiscard]] State state() const { return state_; }
  /// Whether data does: in ACTIVE and in MOVING.
  [[nodiscard]] bool flows() const { return state_ == State::active || state_ == State::moving; }
  [[nodiscard]] Failure failure() const { return failure_; }
  [[nodiscard]] ConnId channel() const { return channel_; }
  [[nodiscard]] ConnId attempt_conn() const { return attempt_conn_; }
  [[nodiscard]] const SendBuffer& send_buffer() const { return send_; }
  [[nodiscard]] const RecvBuffer& recv_buffer() const { return recv_; }
  /// The number of the last transition, and the event that caused it (0 before the first).
  [[nodiscard]] std::uint8_t last_transition() const { return last_transition_; }
  [[nodiscard]] Event last_event() const { return last_event_; }
  /// CHECKPOINTs that were sent since the session was begun or restored; heartbeats are among them.
  [[nodiscard]] std::uint64_t checkpoints() const { return checkpoints_; }
  [[nodiscard]] Time since() const { return since_; }
  /// The last one since the session was begun or restored; nothing when there was none.
  [[nodiscard]] const std::optional<Pause>& last_pause() const { return pause_; }
  /// False: it was loaded at a new residence, and whether the peer counts what comes as that one's is not known yet.
  [[nodiscard]] bool agreed() const { return loaded_.marks.empty() || loaded_.settled; }
  /// When the next attempt to reach the peer begins, of one that waits for it.
  [[nodiscard]] std::optional<Time> next_attempt() const { return retry_at_; }
  /// What is to be stored now. It says that all that was received is held: handle_stored() follows when it is stored.
  [[nodiscard]] SessionImage image() const;

  // --- the application ------------------------------------------------------------------------------------------
  [[nodiscard]] bool accepted() const { return accepted_; }
  void set_accepted(bool accepted) { accepted_ = accepted; }
  [[nodiscard]] bool detached() const { return detached_; }

  /// No more may be written: finished or closed here, or nobody reads at the other side.
  [[nodiscard]] bool write_ended() const { return end_.has_value() || peer_closed_; }
  /// The peer has ended its direction and all of it was read.
  [[nodiscard]] bool read_ended() const { return peer_end_ == recv_.read(); }

  /// Takes what fits of `data`; returns how much. Nothing is taken once write_ended() or failed.
  std::size_t write(std::span<const std::byte> data, Time now);
  [[nodiscard]] Parts readable(std::size_t max) const { return recv_.readable(max); }
  /// The application has got `count` of the readable bytes.
  void consume(std::size_t count, Time now);
  /// The peer holds everything below `offset`, for good.
  [[nodiscard]] bool delivered(std::uint64_t offset) const { return send_.acked() >= offset; }
  /// Asks the peer for its checkpoint at once.
  void request_checkpoint();

  void finish(Time now);
  /// No application uses it any more; it ends when all that was written is held by the peer.
  void close(Time now);
  void suspend(Time now) { apply(Event::user_suspend, now); }
  void resume(Time now) { apply(Event::user_resume, now); }
  void abort(Time now);
  /// It goes on elsewhere: here it is over, nothing of it can be read or written any more (ESTALE).
  void depart();

  // --- the network ----------------------------------------------------------------------------------------------
  void bind_attempt(ConnId conn) { attempt_conn_ = conn; }
  void handle_dialled(ConnId conn, Time now);
  void handle_dial_failed(ConnId conn, DialFailure failure, Time now);
  void handle_closed(ConnId conn, Time now);
  void handle_network_change(Time now);
  /// There is a better link than that of the channel: a connection over it is to take the channel's place, and if that
  /// does not succeed it is tried again. As long as it has not succeeded the channel carries on.
  /// `link` names it: what has failed over another one does not count.
  void handle_better_path(std::string_view link, Time now);
  /// The channel is where it should be.
  void handle_best_path();
  /// The peer's CONNECT, on a connection that it has just made; again when it got no answer the first time.
  /// False: it comes too late, the session stands already; `conn` must be closed.
  [[nodiscard]] bool handle_connect(ConnId conn, const Connect& message, Time now);
  /// The peer's RESUME, on a connection that it has just made.
  void handle_resume(ConnId conn, const Resume& message, Time now);
  /// Any other message on the attempt or the channel. False: a violation, `conn` must be closed.
  [[nodiscard]] bool handle_message(ConnId conn, const Message& message, Time now);
  [[nodiscard]] bool handle_data(ConnId conn, const FrameReader::DataPart& part, Time now);

  // --- what to do -----------------------------------------------------------------------------------------------
  /// The transitions since the last call, in their order.
  std::vector<Transitioned> poll_transitions() { return std::exchange(transitioned_, {}); }
  std::optional<SessionAction> poll_action();
  /// The next frame for `conn`; nothing when there is none now.
  bool poll_transmit(ConnId conn, Transmit& out, Time now);
  [[nodiscard]] bool wants_transmit(ConnId conn) const;
  [[nodiscard]] std::optional<Time> next_timeout() const;
  void handle_timeout(Time now);

  /// True once after the image has changed: it must be stored before anything is sent or answered.
  bool poll_store() { return std::exchange(store_due_, false); }
  /// Everything received below `offset` is stored.
  void handle_stored(std::uint64_t offset, Time now);
  /// True once after something an application may wait for has changed.
  bool poll_wake() { return std::exchange(wake_due_, false); }
  /// Nothing is left to do: the Host may forget it, leaving a tombstone.
  [[nodiscard]] bool gone() const { return detached_ && state_ == State::closed && channel_ == 0; }

 private:
  /// The first message on a connection.
  enum class Greeting : std::uint8_t { none, connect, connect_ok, resume, resume_ok };

  // session.cpp: the state machine
  bool apply(Event event, Time now);
  void run(Step step, Time now);
  void dial(Time now);
  void back_off(Time now);
  void drop_attempt();
  void redial(Time now);
  void stay(Time now);
  void schedule_move(Time now);
  void drop_channel(bool flush);
  void open_channel(ConnId conn, Time now);
  void accept(Time now);
  void rewind();
  void end_channel(Time now);
  void schedule_retry(Time at);
  Duration jittered(Duration delay);
  void lose(Failure failure);
  void deny(ResumeDenial reason);

  // session_messages.cpp: what the network says
  [[nodiscard]] Event event_of(const Resume& message) const;
  [[nodiscard]] bool fits(const Progress& peer, std::uint64_t source) const;
  [[nodiscard]] std::uint64_t common_with(std::uint64_t source) const;
  void note_generation(std::uint64_t generation);
  [[nodiscard]] static Failure failure_of(ConnectDenial reason);
  void handle_resume_denied(const ResumeDenied& message, Time now);
  bool handle_resume_ok(const ResumeOk& message, Time now);

  // session_stream.cpp: bytes and checkpoints
  [[nodiscard]] Progress progress() const;
  [[nodiscard]] bool take_progress(const Progress& peer, Time now);
  [[nodiscard]] bool take_checkpoint(const Progress& peer, Time now);
  void settle();
  void go_on_with_channel();
  bool handle_end(std::uint64_t offset, bool closes, Time now);
  void note_announcement(Time now);
  void check_complete(Time now);
  bool greeting(Greeting& due, Transmit& out);
  bool control(Transmit& out);
  [[nodiscard]] Time silence_deadline() const;
  [[nodiscard]] bool unacked() const;

  struct Fixed {
    SessionId id;
    EndpointName local;
    EndpointName peer;
    std::string service;
    std::string file_name;
    bool creator;
  };

  Fixed fixed_;
  SendBuffer send_;
  RecvBuffer recv_;
  State state_;
  Failure failure_;
  bool accepted_;
  bool detached_;
  std::uint64_t generation_;
  std::uint64_t peer_generation_;
  std::uint64_t attempt_;       // number of our last RESUME
  std::uint64_t peer_attempt_;  // number of the peer's last one
  std::optional<std::uint64_t> end_;
  bool end_acked_;
  std::optional<std::uint64_t> peer_end_;
  bool peer_closed_;
  std::uint64_t source_;  // the generation of the peer with which we have gone on last
  SessionImage::Loaded loaded_;

  ConnId attempt_conn_ = 0;
  ConnId channel_ = 0;
  bool channel_accepted_ = false;         // by us, whom the peer has asked
  std::uint64_t channel_generation_ = 0;  // of the peer at the other end of it
  std::deque<SessionAction> actions_;
  ConnId input_conn_ = 0;                     // the connection whose message is being handled
  const Progress* input_progress_ = nullptr;  // and what it said of the stream
  Failure input_failure_ = Failure::none;

  // What is to be sent on the attempt or the channel, made from the state when it is polled.
  Greeting attempt_greeting_ = Greeting::none;
  Greeting channel_greeting_ = Greeting::none;
  bool checkpoint_due_ = false;
  bool end_due_ = false;
  bool ping_due_ = false;
  bool suspend_due_ = false;
  bool abort_due_ = false;
  bool channel_ending_ = false;  // the channel is let go when nothing is left to send on it, or after attempt_timeout

  Progress announced_;
  std::uint64_t asked_generation_ = 0;  // the highest of the peer's that we knew when our last RESUME was sent
  std::optional<Time> retry_at_;
  std::optional<Time> attempt_deadline_;
  std::optional<Time> connect_deadline_;
  std::optional<Time> ending_deadline_;
  std::optional<Time> announce_at_;
  std::optional<Time> network_change_at_;  // one that came while the attempt was young
  std::optional<Time> move_at_;            // to the better link
  Duration young_attempt_limit_ = young_attempt_limit;
  Time attempt_began_{};
  Time heartbeat_at_{};
  Time channel_opened_{};
  Time last_input_{};
  Time unacked_since_{};
  SilenceLimits silence_limits_;
  Duration unacked_limit_ = unacked_silence_limit;  // for now
  unsigned failed_attempts_ = 0;
  std::string better_link_;    // the last that was better than the channel's
  unsigned failed_moves_ = 0;  // to it
  std::uint64_t random_;

  std::uint8_t last_transition_ = 0;
  Event last_event_ = Event::dialled;
  std::uint64_t checkpoints_ = 0;
  std::vector<Transitioned> transitioned_;  // and not told yet
  std::optional<Pause> pause_;
  bool pause_due_ = false;  // there is a channel, or was one, whose end has made no pause yet
  Time since_;
  bool store_due_ = false;
  bool wake_due_ = false;
};

}  // namespace sessionfs
