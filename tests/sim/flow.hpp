// Applications of the small world: flows of known bytes over sessions, which check all that they read.
#pragma once

#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/world.hpp"

namespace sessionfs::test {

/// What an application writes: from each offset on bytes of another kind. Who goes on from a copy writes other bytes
/// than the former residence has written behind it.
struct Text {
  std::map<std::uint64_t, std::uint64_t> salts;  // by the offset where they begin

  [[nodiscard]] std::byte at(std::uint64_t offset) const {
    return stream_byte(std::prev(salts.upper_bound(offset))->second, offset);
  }
};

/// How an application ends its side of a session.
enum class Ending : std::uint8_t {
  finish,  // finish when all is written, read to the end, close
  close,   // close as soon as all is written, whatever comes from the other side
};

struct FlowEnd {
  std::size_t node = 0;
  EndpointName name;
  bool creator = false;
  std::uint64_t total = 0;  // bytes to write
  Ending ending = Ending::finish;
  std::size_t most_bytes = 4096;  // in one read or write
  unsigned pause_percent = 10;    // how often it does something else first

  std::shared_ptr<Session> session;  // null: not there now
  std::uint64_t written = 0;         // what the application was told
  std::uint64_t read = 0;
  std::uint64_t reading = 0;                  // bytes of a read that is not answered yet
  Bytes offered;                              // these
  std::uint64_t before = 0;                   // where the last read began
  std::vector<Text> texts;                    // of all its residences that have written; the last is the present one's
  Bytes seen;                                 // all that was read
  std::vector<bool> candidates;               // the texts of the peer that this may be the beginning of
  std::optional<std::uint64_t> final_offset;  // where its writing has ended
  bool saw_end = false;
  bool closed = false;
  bool aborted = false;
  bool paused = false;
  Failure failure = Failure::none;
};

struct Flow {
  SessionId id;
  std::string target;           // service.object@domain~label
  std::array<FlowEnd, 2> ends;  // 0 is the creator
  bool may_fail = false;        // an abort, or a creator that crashed before its session stood
  bool started = false;
  bool stood = false;  // at its creator

  [[nodiscard]] std::uint64_t salt(std::size_t writer) const { return id.bytes[15] * 2 + writer + 1000; }
  void take(std::size_t reader, std::byte byte);
  /// What `end` has seen begins with what it had seen at `offset`, or its peer has a new text.
  void see_again(std::size_t reader, std::uint64_t offset);
};

/// The applications of a World.
class Flows {
 public:
  explicit Flows(World& world);

  /// A session from endpoint `from` at `node` to `service` of `to` at `peer`; its bytes go both ways.
  Flow& add(std::size_t node, const EndpointName& from, std::size_t peer, const EndpointName& to,
            const std::string& service, std::uint64_t bytes_out, std::uint64_t bytes_back);
  /// Opens it; what it then does, it does by itself.
  void start(Flow& flow);
  void run(Flow& flow, std::size_t end);
  void abort(Flow& flow, std::size_t end);
  /// All that resides at host `from` goes on at `to`, where nothing resides.
  void move(std::size_t from, std::size_t to);
  /// The copy is loaded at `to`, where nothing resides, and its applications with it; the host that it was made at goes
  /// on without any.
  void load(World::Stick stick, std::size_t to);
  /// A copy of an endpoint, and which text each of its applications was writing.
  struct Copy {
    EndpointName name;
    Bytes record;
    std::map<std::pair<const Flow*, std::size_t>, Text> texts;
  };
  [[nodiscard]] Copy copy(std::size_t node, const EndpointName& name) const;
  std::optional<Copy> leave(std::size_t node, const EndpointName& name);
  /// The copy goes on at `to`, and its applications with it. `stale`: a residence has gone on since it was made.
  void arrive(const Copy& copy, std::size_t to, bool stale);
  /// All sides that stand know of the present residences of `names`.
  [[nodiscard]] bool know(const std::map<EndpointName, Node::Residence>& former) const;
  /// All ends have closed.
  [[nodiscard]] bool done() const;
  [[nodiscard]] std::string describe() const;

  std::vector<std::unique_ptr<Flow>> flows;

 private:
  void work(Flow& flow, std::size_t end);
  bool read(Flow& flow, std::size_t end);
  bool write(Flow& flow, std::size_t end);
  void close(Flow& flow, FlowEnd& mine);
  void ended(Flow& flow, std::size_t end);
  void attach(std::size_t node, const EndpointName& local, const std::shared_ptr<Session>& session);
  void restarted(std::size_t node);
  void crashed();
  void check(const Flow& flow, std::size_t end) const;
  void go_on(Flow& flow, std::size_t end, const SessionImage* image, const Text& text);
  [[nodiscard]] bool share_a_channel(const FlowEnd& one, const FlowEnd& other) const;

  World& world_;
};

}  // namespace sessionfs::test
