// Drives one Host as a daemon does, plays its peers, and checks after every step what must hold at every time.
//
// Nothing is random here, and no real time passes: an input is the whole story.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/host.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/sim/memory_store.hpp"

namespace sessionfs::fuzz {

inline EndpointName endpoint_name(std::string_view text) { return EndpointName::parse(text).value(); }

/// The byte that our applications write at `offset` of every stream.
inline std::byte written_byte(std::uint64_t offset) { return static_cast<std::byte>(offset * 167 + (offset >> 8)); }

class HostDriver {
 public:
  struct Conn {
    EndpointName peer;
    bool dialling = false;
    bool dialled = false;  // by us
    bool greeted = false;  // a whole message has come on it
    bool blocked = false;  // it takes nothing now
    FrameReader in;        // sees what the peer sends
    FrameReader out;       // and what the host does
  };
  /// What is known of a session from outside.
  struct Stream {
    std::shared_ptr<Session> session;
    std::uint64_t first = 0;          // the offset of received[0]
    std::vector<std::byte> received;  // what the peer has sent and the host has taken
    bool known_content = true;        // our application wrote all that it sends
    std::uint64_t acked = 0, written = 0, read = 0, held = 0;
    std::pair<std::uint64_t, std::uint64_t> accepted;  // the generation and attempt of the peer's last RESUME
  };

  explicit HostDriver(std::size_t capacity_bytes);

  // --- what happens ---------------------------------------------------------------------------------------------
  /// The number of the new connection; 0 when there are max_open_conns.
  ConnId incoming(const EndpointName& local, const EndpointName& peer);
  void dial_answered(ConnId conn);
  void dial_failed(ConnId conn, DialFailure failure);
  /// Any bytes of the peer.
  void feed(ConnId conn, Bytes bytes);
  void feed(ConnId conn, const Message& message) { feed(conn, Frame(message).bytes()); }
  void feed_data(ConnId conn, std::uint64_t offset, std::size_t size, std::byte content);
  void cut(ConnId conn);
  void set_blocked(ConnId conn, bool blocked);
  void advance(Duration time);
  void network_change();
  void set_full(bool full) { store_.set_full(full); }
  /// The host dies and starts again from what it had stored; `moved`: somewhere else.
  void restart(bool moved);
  /// The endpoint is frozen and goes on from its record, as the next residence or, thawed, as the same one.
  void travel(const EndpointName& name, bool elsewhere);

  // --- what applications do -------------------------------------------------------------------------------------
  std::shared_ptr<Session> connect(const EndpointName& local, std::string_view target, const SessionId& id);
  std::shared_ptr<Session> accept(const EndpointName& local, std::string_view service);
  void write(const std::shared_ptr<Session>& session, std::size_t count);
  enum class Reader : std::uint8_t { takes_it, gives_up, dies };
  void read(const std::shared_ptr<Session>& session, std::size_t count, Reader reader);
  /// Any other call, and what follows from it.
  template <class Call>
  void with(Call call) {
    call(*host_, now_);
    settle();
  }
  /// A stored session goes on here. False when it cannot be.
  bool restore(const SessionImage& image);

  [[nodiscard]] Host& host() { return *host_; }
  [[nodiscard]] Time now() const { return now_; }
  [[nodiscard]] const std::map<ConnId, Conn>& conns() const { return conns_; }
  [[nodiscard]] const std::map<test::SessionKey, Stream>& streams() const { return streams_; }
  /// The session whose channel or attempt this is.
  [[nodiscard]] std::shared_ptr<Session> session_of(ConnId conn) const;

  static constexpr std::size_t max_open_conns = 16;
  static constexpr std::size_t max_streams = 16;

 private:
  void make_host();
  void settle();
  void perform(const Action& action);
  Stream& track(const std::shared_ptr<Session>& session);
  void transmit(ConnId conn);
  void inspect(ConnId conn, Conn& seen, Bytes frame);
  void inspect_message(ConnId conn, const Message& message);
  void inspect_data(ConnId conn, const FrameReader::DataPart& part);
  void note_received(const std::shared_ptr<Session>& session, std::uint64_t before, const FrameReader::Event& event);
  void check();
  void check_stream(Stream& stream);
  void check_conns();

  std::size_t capacity_;
  test::MemoryStore store_;
  std::unique_ptr<Host> host_;
  Time now_{std::chrono::seconds(100)};
  std::map<ConnId, Conn> conns_;
  std::map<test::SessionKey, Stream> streams_;
};

}  // namespace sessionfs::fuzz
