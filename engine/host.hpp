// A host: the endpoints that reside here, their sessions, and the connections that carry them.
//
// The one door of the engine. A driver (the daemon, or a simulator) tells it what happens by handle_*(), and then
// does what poll_action() says until nothing is left. It decides nothing itself.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/endpoint.hpp"
#include "engine/record.hpp"
#include "engine/session.hpp"

namespace sessionfs {

/// A connection must say what it is for within this time.
inline constexpr Duration first_message_timeout = std::chrono::seconds(5);
/// Sessions a host carries at most; more are refused as by a full backlog.
inline constexpr std::size_t max_sessions = 65536;

/// Of them with one peer: what it begins and never reads stays here until it does.
inline constexpr std::size_t max_sessions_of_a_peer = 4096;

struct Action {
  enum class Kind : std::uint8_t {
    store,      // store session->image(), then call handle_stored(); before anything that follows
    dial,       // connect to session->peer() as session->local(), then handle_dialled() or handle_dial_failed()
    transmit,   // poll_transmit(conn) as long as there is something and the connection takes it
    close,      // close `conn`; after what was given to it is sent, if `flush`. No call about it is expected any more
    tell,       // `session` has made the transition `transitioned`; before what follows from it (tell_transitions())
    wake,       // what an application waits for on `session` may have come
    arrived,    // a session has come in by `service` of `endpoint`
    forget,     // `session` is over: its stored state can be deleted
    hand_over,  // `conn` is the driver's: a residence of `generation` asks on it for the state of `endpoint` (HANDOFF)
  };
  Kind kind{};
  ConnId conn = 0;
  bool flush = false;
  std::shared_ptr<Session> session;
  EndpointName endpoint;
  std::string service;
  std::uint64_t generation = 0;
  Transitioned transitioned{};
};

class Host {
 public:
  /// Makes the memory of a session of `local`, or nothing when there is no room for it.
  using MakeMemories =
      std::function<std::optional<Session::Memories>(const EndpointName& local, const SessionId&, bool creator)>;

  explicit Host(MakeMemories make_memories) : make_memories_(std::move(make_memories)) {}
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // --- endpoints and services -----------------------------------------------------------------------------------
  /// A new residence of `name`. What is left of one that was removed under this name is dropped.
  Endpoint& add_endpoint(const EndpointName& name, std::uint64_t generation, Time now);
  /// Closes all sessions and services. Its sessions deliver what was written as long as the host runs.
  void remove_endpoint(const EndpointName& name, Time now);
  struct Frozen {
    std::shared_ptr<Session> session;  // which has departed
    SessionRecord record;
  };
  /// Takes all sessions of `endpoint` out of the host, without a word to their peers: they live on in their records.
  /// All that poll_store() gives must have been stored before. From now on nothing is taken, sent or announced for it,
  /// and whoever asks is told that it does not reside here; until thaw(), after which its sessions come back by
  /// restore().
  std::vector<Frozen> freeze(Endpoint& endpoint, Time now);
  static void thaw(Endpoint& endpoint) { endpoint.frozen = false; }
  /// Null when no such endpoint resides here.
  Endpoint* find_endpoint(const EndpointName& name);
  [[nodiscard]] const std::map<EndpointName, Endpoint>& endpoints() const { return endpoints_; }
  /// All sessions of `name`, those that only deliver what is left among them.
  [[nodiscard]] std::vector<std::shared_ptr<Session>> sessions_at(const EndpointName& name) const;
  /// A frozen endpoint is nothing here any more.
  void forget_endpoint(const EndpointName& name) { endpoints_.erase(name); }
  /// Removes a service; sessions that nobody has accepted are closed, all others go on.
  void remove_service(Endpoint& endpoint, std::string_view service, Time now);
  /// The session that came first by this service and was not accepted; null when there is none.
  std::shared_ptr<Session> accept(Endpoint& endpoint, std::string_view service);
  /// Undoes an accept(): the session is the next one to be accepted again.
  void give_back(Endpoint& endpoint, const std::shared_ptr<Session>& session);

  /// From now on each transition of each session is an action, for those who look on: nothing depends on them.
  void tell_transitions() { tells_transitions_ = true; }
  /// For the sessions that come from now on.
  void set_silence_limits(const SilenceLimits& limits) { silence_limits_ = limits; }

  // --- sessions, for applications -------------------------------------------------------------------------------
  /// Begins a session to `target`; its file name must be free. Null when there is no memory for it, or the endpoint is
  /// frozen.
  std::shared_ptr<Session> connect(Endpoint& endpoint, const DialName& target, const SessionId& id, std::uint64_t seed,
                                   Time now);
  /// A session from storage goes on, in the generation of its endpoint: where that is higher than the session's own, it
  /// has come from another residence. Null when it is another endpoint's, or when it or its file name is here already.
  std::shared_ptr<Session> restore(Endpoint& endpoint, const SessionImage& image, Session::Memories memories,
                                   std::uint64_t seed, Time now);
  std::size_t write(Session& session, std::span<const std::byte> data, Time now);
  void consume(Session& session, std::size_t count, Time now);
  void request_checkpoint(Session& session, Time now);
  void finish(Session& session, Time now);
  void close(Session& session, Time now);
  void suspend(Session& session, Time now);
  void resume(Session& session, Time now);
  void abort(Session& session, Time now);

  // --- connections ----------------------------------------------------------------------------------------------
  /// A connection from outside whose peer has proven its name. Returns its number.
  ConnId handle_incoming(const EndpointName& local, const EndpointName& peer, Time now);
  void handle_dialled(ConnId conn, Time now);
  void handle_dial_failed(ConnId conn, DialFailure failure, Time now);
  void handle_input(ConnId conn, std::span<const std::byte> bytes, Time now);
  void handle_closed(ConnId conn, Time now);
  /// The next frame to send on `conn`. Its body points into a buffer and is valid until the next call of the Host.
  bool poll_transmit(ConnId conn, Transmit& out, Time now);

  // --- time and events ------------------------------------------------------------------------------------------
  void handle_stored(Session& session, std::uint64_t offset, Time now);
  /// Links or addresses have changed: whoever waits for a better moment tries now.
  void handle_network_change(Time now);
  /// The name server says that `peer` is somewhere else: the same for the sessions with it.
  void handle_moved(const EndpointName& peer, Time now);
  /// `better_link` names a better link than the one by which the channel of `session` goes; empty: there is none.
  void handle_path(Session& session, std::string_view better_link, Time now);
  /// The session whose channel `conn` is; null when it is none's.
  [[nodiscard]] std::shared_ptr<Session> carried_by(ConnId conn) const;
  [[nodiscard]] std::optional<Time> next_timeout() const;
  void handle_timeout(Time now);
  /// What must be stored before anything that poll_action() gives, and before an application is answered.
  std::optional<Action> poll_store();
  /// What to do next; what is to be stored comes first.
  std::optional<Action> poll_action();

 private:
  struct Slot {
    std::shared_ptr<Session> session;
    std::uint64_t serial = 0;  // in the order of their coming: what happens is the same in every run
    std::optional<Time> timer;
    bool store_queued = false;
    bool wake_queued = false;
  };
  struct Connection {
    EndpointName local;
    EndpointName peer;
    FrameReader reader;
    std::shared_ptr<Session> session;  // null until the first message, and after a denial
    std::deque<Frame> replies;
    bool transmit_queued = false;
    bool answered = false;  // close when the replies are sent
    Time opened{};
  };
  struct Key {
    SessionId id;
    EndpointName local;
    bool creator = false;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  void settle(Session& session, Time now);
  void tell(const std::shared_ptr<Session>& session, const Transitioned& transitioned);
  void perform(Session& session, const SessionAction& action);
  void queue_transmit(ConnId conn);
  void reply(ConnId conn, const Message& message);
  void drop_connection(ConnId conn, bool flush);
  void update_timer(Slot& slot);
  void tell_of_change(const EndpointName* peer, Time now);
  void forget(Session& session);
  std::shared_ptr<Session> take_out(Session& session);
  void add_session(Endpoint& endpoint, const std::shared_ptr<Session>& session, Time now);
  std::shared_ptr<Session> find_session(const SessionId& id, const EndpointName& local, bool creator) const;

  void handle_message(ConnId conn, Connection& connection, const Message& message, Time now);
  void handle_connect(ConnId conn, Connection& connection, const Connect& message, Time now);
  void handle_resume(ConnId conn, Connection& connection, const Resume& message, Time now);
  void handle_handoff(ConnId conn, const Connection& connection, const Handoff& message);
  static const Tombstone* find_tombstone(const Endpoint& endpoint, const Connection& connection, const SessionId& id,
                                         bool from_creator);
  std::optional<ConnectDenial> refusal(Endpoint* endpoint, const Connection& connection, const Connect& message);

  MakeMemories make_memories_;
  SilenceLimits silence_limits_;
  bool tells_transitions_ = false;
  std::map<EndpointName, Endpoint> endpoints_;
  std::map<Key, std::shared_ptr<Session>> sessions_;
  std::unordered_map<const Session*, Slot> slots_;
  std::map<EndpointName, std::size_t> sessions_of_;  // peers
  std::unordered_map<ConnId, Connection> connections_;
  std::map<std::pair<Time, std::uint64_t>, const Session*> timers_;  // by time and serial
  std::set<std::pair<Time, ConnId>> silent_;                         // connections without a first message
  std::deque<Action> stores_;                                        // come before all other actions
  std::deque<Action> actions_;
  ConnId last_conn_ = 0;
  std::uint64_t last_serial_ = 0;
};

}  // namespace sessionfs
