// A small deterministic world in one process: hosts, a name table, connections, a virtual clock and faults.
//
// The driver loop does exactly what Action says. A connection is a pair of byte queues with a delay; a host that
// crashes goes on from what its Store kept. Nothing here knows what a session is for: see flow.hpp.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/host.hpp"
#include "tests/sim/memory_store.hpp"
#include "tests/sim/random.hpp"

namespace sessionfs::test {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline EndpointName endpoint_name(std::string_view text) { return EndpointName::parse(text).value(); }
SessionId session_id(std::uint64_t number);

/// Thrown out of the driver when a planned crash is due.
struct Crashed {
  std::size_t node;
};

/// A message as it left a host, for tests that look at the wire.
struct Sent {
  Time at{};
  std::size_t node = 0;
  ConnId conn = 0;
  Message message;
};

/// One connection. Bytes lost on the way are lost for good; who is told of its end, the fault says.
struct Pipe {
  struct Side {
    std::size_t node = 0;
    ConnId conn = 0;
    bool open = false;    // the host has this connection
    bool lossy = false;   // nothing arrives here any more, not even the end
    bool ending = false;  // told of the end when `arriving` is empty
    std::deque<std::pair<Time, Bytes>> arriving;
    std::size_t arriving_bytes = 0;
    FrameReader tap;  // sees what this side sends

    void attach(std::size_t to_node, ConnId to_conn) {
      node = to_node;
      conn = to_conn;
      open = true;
    }
  };
  std::array<Side, 2> sides;
  Duration delay{};
};

struct Node {
  struct Residence {
    std::uint64_t generation = 1;
    std::vector<std::string> services;
    std::deque<Tombstone> tombstones;
  };
  std::unique_ptr<Host> host;  // null while it is down
  std::uint64_t life = 0;      // counts starts
  std::unique_ptr<Store> store;
  std::map<EndpointName, Residence> endpoints;
  std::map<ConnId, std::pair<std::shared_ptr<Pipe>, std::size_t>> conns;
  bool refuses = false;                             // nobody can connect to it
  bool mute = false;                                // connections to it are never answered
  std::optional<std::uint64_t> crash_after;         // driver steps
  bool cut_power = false;                           // with the crash that comes
  bool after_cut = false;                           // this life of it comes after one
  Time address_since{};                             // when it got the address that it has
  std::vector<std::shared_ptr<Session>> forgotten;  // by this life of it
};

class World {
 public:
  using MakeStore = std::function<std::unique_ptr<Store>(World&)>;
  World(std::uint64_t seed, std::size_t nodes, std::size_t capacity = 16 * 1024);
  World(std::uint64_t seed, std::size_t nodes, const MakeStore& make_store);

  // --- what a test says -----------------------------------------------------------------------------------------
  void add_endpoint(std::size_t node, const EndpointName& name, const std::vector<std::string>& services = {});
  std::shared_ptr<Session> connect(std::size_t node, const EndpointName& from, std::string_view target,
                                   const SessionId& id);
  Host& host(std::size_t node) { return *nodes[node]->host; }
  /// Calls `call` with the host of `node`, then does what it asks for. A planned crash ends it early.
  void with(std::size_t node, const std::function<void(Host&)>& call);
  /// What is to be stored, before an application is answered.
  void drain_stores(Node& node);
  /// A step of the driver of `node`, or of the host that runs now: a crash that is due comes here, as an exception.
  void tick(std::size_t node);
  void tick() { tick(running_); }

  // --- time -----------------------------------------------------------------------------------------------------
  [[nodiscard]] Time now() const { return now_; }
  void at(Time when, std::function<void()> event);
  void after(Duration delay, std::function<void()> event) { at(now_ + delay, std::move(event)); }
  /// The next thing that happens. False when nothing will.
  bool step();
  /// Until `condition`; false when it has not come before `limit` has passed.
  bool run_until(const std::function<bool()>& condition, Duration limit);
  void run_for(Duration time) {
    (void)run_until([] { return false; }, time);
  }
  /// When the next byte, end or timer comes; nothing when none will.
  [[nodiscard]] std::optional<Time> next() const;
  [[nodiscard]] bool idle() const { return !next(); }

  // --- faults ---------------------------------------------------------------------------------------------------
  /// Which sides are told of a connection's end.
  enum class Told { both, first, second, none };
  void cut(const std::shared_ptr<Pipe>& pipe, Told told);
  /// From now on nothing arrives: at side 0, side 1, or both.
  static void lose_silently(const std::shared_ptr<Pipe>& pipe, bool to_first, bool to_second);
  void crash(std::size_t node, bool silent, bool power_cut = false);
  void restart(std::size_t node);
  /// The host has another address: what its connections carry is lost. With `noticed` it lets go of them and tries
  /// again at once; their other sides learn nothing.
  void change_address(std::size_t node, bool noticed);
  /// All that resides at host `from`, which dies without a sign, goes on at host `to`, a generation higher.
  void move(std::size_t from, std::size_t to);
  /// A copy of all that resides at a host, as it is stored now.
  struct Stick {
    std::size_t from = 0;
    std::unique_ptr<Store> store;
    std::map<EndpointName, Node::Residence> endpoints;
  };
  [[nodiscard]] Stick save(std::size_t node) const;
  /// The copy is the newest residence from now on, at `to`, where nothing resides. The host that it was made at goes on
  /// and does not know.
  void load(Stick stick, std::size_t to);
  /// At `node`, where nothing resides, a host starts again with what it had, and does not know that it is a former one.
  void come_back(Stick stick, std::size_t node);
  /// Nothing resides at `node` any more.
  void clear(std::size_t node);
  /// The file `.endpoint` of `name` at `node`, as it is now.
  [[nodiscard]] Bytes record_at(std::size_t node, const EndpointName& name) const;
  /// `name` is frozen and has left `node`: what is left of it is its record. Nothing when the host dies of it.
  std::optional<Bytes> leave(std::size_t node, const EndpointName& name);
  /// The record goes on at `node`, in a residence that is newer than all.
  void arrive(std::size_t node, const Bytes& record);
  /// A former residence is told that it is one.
  void drop(std::size_t node, const EndpointName& name);
  /// The host where the newest residence of `name` is; nodes.size() when there is none.
  [[nodiscard]] std::size_t residence(const EndpointName& name) const;
  std::vector<std::shared_ptr<Pipe>> pipes() const;

  Random random;
  std::vector<std::unique_ptr<Node>> nodes;
  Duration least_delay = milliseconds(1);
  Duration most_delay = milliseconds(20);
  unsigned slow_dials_percent = 0;
  unsigned slow_pipes_percent = 0;
  unsigned distrust_percent = 0;  // of the connections for a session that stands the peer refuses our certificate
  Duration slow_pipe{milliseconds(2500)};  // at most
  unsigned twin_dials_percent = 0;         // a second connection is made on the way, and never used
  Duration names_lag{};            // for so long a name may still lead to where it was, and a host to its old address
  Duration slow_dial{seconds(8)};  // at most
  Duration timer_lateness{};       // at most
  std::size_t pipe_bytes = 4096;   // in flight in one direction at most
  bool trace = false;
  bool storage_goes_back = false;  // an older copy lies under a host
  std::uint64_t steps = 0;
  std::vector<Sent> sent;  // all control messages, when `record`
  bool record = false;
  // What applications are told: set by flow.hpp.
  std::function<void(std::size_t node, const std::shared_ptr<Session>&)> on_wake;
  std::function<void(std::size_t node, const EndpointName&, const std::string& service)> on_arrived;
  std::function<void(std::size_t node)> on_started;
  /// Called after every step, with each host's sessions checked already.
  std::function<void()> on_step;

  void say(const std::function<void(std::ostream&)>& line);

 private:
  void guarded(const std::function<void()>& call);
  [[nodiscard]] std::size_t resolve(const EndpointName& name);
  void begin_twin(std::size_t target, const EndpointName& from, const EndpointName& to);
  void note_names();
  void pump(std::size_t index);
  void perform(std::size_t index, const Action& action);
  void store(std::size_t index, Session& session);
  void dial(std::size_t index, const Action& action);
  void be_refused(std::size_t index, ConnId conn);
  void establish(std::size_t index, std::uint64_t life, ConnId conn, const EndpointName& from, const EndpointName& to);
  void transmit(std::size_t index, ConnId conn);
  void send(Pipe& pipe, std::size_t from, Bytes bytes);
  void tap(Pipe::Side& side, std::span<const std::byte> bytes);
  void deliver(const std::shared_ptr<Pipe>& pipe, std::size_t side);
  void tell_end(const std::shared_ptr<Pipe>& pipe, std::size_t side, Duration delay);
  void close(std::size_t index, ConnId conn, bool flush);
  void check();
  void check_session(std::size_t index, const Session& session);
  Duration random_between(Duration low, Duration high);
  Duration some_delay();

  Time now_{seconds(1)};
  std::uint64_t sequence_ = 0;
  std::map<std::pair<Time, std::uint64_t>, std::function<void()>> events_;
  std::size_t steps_at_once_ = 0;  // at the same moment
  Duration lateness_{};            // of the next timer
  MakeStore make_store_;
  std::size_t running_ = 0;
  struct Name {
    std::size_t node = 0;
    std::size_t former = 0;
    Time since{};
  };
  std::map<EndpointName, Name> names_;
  std::map<EndpointName, std::uint64_t> generations_;  // the highest of those that have arrived
};

}  // namespace sessionfs::test
