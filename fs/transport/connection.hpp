// An encrypted connection between two endpoints: bytes in order, both names proven.
//
// TLS 1.3 (RFC 8446) over TCP, with certificates of both sides. OpenSSL makes the handshake; the application data's
// records are then sealed and opened by RecordProtection, straight from and into the buffers of the system calls.
//
// Everything happens on the thread that runs the io_context; no member may be called from elsewhere.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/name.hpp"
#include "fs/transport/buffers.hpp"
#include "fs/transport/identity.hpp"

namespace sessionfs::fs {

namespace asio = boost::asio;

/// While a connection is open its owner decides how long the peer may say nothing. The kernel breaks it only when bytes
/// were not acknowledged for this long (tcp(7), TCP_USER_TIMEOUT), which is no less than any owner's limit ...
inline constexpr std::chrono::milliseconds open_user_timeout_ms = std::chrono::hours(1);
/// ... and after this before it is open, and when it is closing or closed, with bytes that the kernel still holds.
inline constexpr std::chrono::milliseconds tcp_user_timeout_ms{3000};
/// Time for a TLS handshake and for vetting the peer, of both roles.
inline constexpr std::chrono::milliseconds handshake_timeout_ms{5000};
/// A dialler goes on to its next address when one has not answered for this long (RFC 8305, section 5) ...
inline constexpr std::chrono::milliseconds next_address_delay_ms{150};
/// ... and gives up those that have not answered within this time.
inline constexpr std::chrono::milliseconds tcp_connect_timeout_ms{5000};
/// A dialler tries this many addresses; more are ignored.
inline constexpr std::size_t max_dialled_addresses = 16;
/// After close_after_flush(), a peer that takes no byte for this long loses what is left.
inline constexpr std::chrono::milliseconds linger_timeout_ms{5000};
/// A stranger whose handshake was refused has this time to take the alert that says why.
inline constexpr std::chrono::milliseconds refusal_linger_timeout_ms{1000};

/// An owner should give no more to send() while more than this is queued, ...
inline constexpr std::size_t high_water_bytes = 512 * 1024;
/// ... until on_drained() says that no more than this is.
inline constexpr std::size_t low_water_bytes = 256 * 1024;
/// Sending more than this without looking at queued_bytes() breaks the connection.
inline constexpr std::size_t max_queued_bytes = 64 * 1024 * 1024;
/// What one connection reads, and what it writes, in one turn of the loop before others get theirs.
inline constexpr std::size_t max_bytes_per_turn = 1024 * 1024;

enum class CloseReason : std::uint8_t {
  local,              // closed from here
  eof,                // the peer has closed it
  reset,              // the peer has reset it
  network_error,      // no way to the peer (any more): refused, unreachable, not acknowledged
  handshake_timeout,  // TCP or TLS was not up in time
  not_here,           // the endpoint dialled does not reside there
  untrusted,          // a certificate that does not verify, or proves another name than the one dialled
  protocol,           // what came is no TLS 1.3 of ours, or was altered on its way
};
std::string_view to_string(CloseReason reason);
/// What an error of send(2), recv(2) or connect(2) means.
CloseReason reason_of_errno(int error);

/// What a connection tells its owner. Every call comes from the loop, never from inside a call of the owner.
class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;

  /// The handshake is done, and the peer has proven its name and is believed. To a dialler: the peer may still refuse
  /// this side's certificate, which comes as on_closed(untrusted).
  virtual void on_ready(const EndpointName& peer) = 0;
  /// The next bytes of the peer. They are gone when the call returns.
  virtual void on_input(std::span<const std::byte> plaintext) = 0;
  /// queued_bytes() was above low_water_bytes and is no longer.
  virtual void on_drained() = 0;
  /// The connection is over. Comes exactly once, and nothing after it; `why` is one line for people.
  virtual void on_closed(CloseReason reason, std::string why) = 0;
};

class AddressRace;
class Handshake;
class RecordProtection;
enum class RecordType : std::uint8_t;

class SecureConnection : public std::enable_shared_from_this<SecureConnection> {
 public:
  using Tcp = asio::ip::tcp;
  /// A payload in at most two pieces, as a ring buffer has it.
  using Body = std::array<std::span<const std::byte>, 2>;

  ~SecureConnection();
  SecureConnection(const SecureConnection&) = delete;
  SecureConnection& operator=(const SecureConnection&) = delete;

  /// Who is told from now on. Null: nobody; no call comes after this, and the connection goes on by itself (a
  /// close_after_flush() is carried out, input is dropped).
  void set_handler(ConnectionHandler* handler) { handler_ = handler; }
  [[nodiscard]] bool has_handler() const { return handler_ != nullptr; }

  /// Seals the bytes and queues them; they are the caller's again when this returns. What is sent in one turn of the
  /// loop leaves at its end in as few system calls as possible; large amounts leave at once.
  /// Before on_ready() and after a close: does nothing.
  void send(std::span<const std::byte> bytes) { send(bytes, Body{}); }
  /// The same for `header` and both pieces of `body`, one behind the other.
  void send(std::span<const std::byte> header, const Body& body);
  /// Bytes that were sent and that the kernel has not taken yet.
  [[nodiscard]] std::size_t queued_bytes() const;
  /// Whether an owner may send more now.
  [[nodiscard]] bool takes_more() const { return state_ == State::open && queued_bytes() < high_water_bytes; }

  /// Delivers what was sent, then closes: on_closed(local). Input is dropped from now on.
  void close_after_flush();
  /// Closes at once: on_closed(local). What was queued is lost.
  void abort();

  [[nodiscard]] bool is_open() const { return state_ == State::open; }
  /// Proven by the peer's certificate; empty before on_ready().
  [[nodiscard]] const EndpointName& peer() const { return peer_; }
  /// The endpoint of this side; on an incoming connection empty until the peer has said whom it means.
  [[nodiscard]] const EndpointName& local_name() const { return local_name_; }
  /// Unspecified addresses before the connection stands.
  [[nodiscard]] const Tcp::endpoint& local_endpoint() const { return local_endpoint_; }
  [[nodiscard]] const Tcp::endpoint& remote_endpoint() const { return remote_endpoint_; }

 private:
  friend class ConnectionFactory;
  using Socket = Tcp::socket;
  using MakeHandshake = std::function<std::unique_ptr<Handshake>()>;

  enum class State : std::uint8_t {
    connecting,   // TCP
    handshaking,  // TLS
    vetting,      // the peer has proven to own its key; whether it is believed is being found out
    open,
    flushing,   // what was sent still leaves; input is dropped
    lingering,  // all has left; waiting for the peer to see its end, so that the kernel does not reset it away
    closed,
  };

  explicit SecureConnection(asio::io_context& io);

  void next_address();
  void start_handshake(Tcp::socket socket, std::unique_ptr<Handshake> handshake);
  void advance_handshake();
  void finish_handshake();
  void finish_vetting(const std::string& why);
  void take_what_came();
  void fail_handshake(CloseReason reason, std::string why);

  void wait_readable();
  void handle_readable();
  /// Takes what the kernel has, at most a buffer full. False: nothing more for now, or the connection is over.
  bool read_once();
  void handle_received();
  void open_records();
  /// Acts upon a record that is not application data. False: the connection is over. Throws RecordError.
  bool handle_control_record(RecordType type, std::span<const std::byte> content);
  bool handle_key_update(std::span<const std::byte> message);
  /// Nothing more will come from the peer.
  void handle_end(CloseReason reason, std::string why);

  /// Seals all of it, and sends it when it is much. The connection may be over afterwards.
  void seal(RecordType type, Gather& content);
  void change_send_key();
  void schedule_flush();
  void wait_writable();
  /// Gives the kernel as much as it takes.
  void flush();
  void flush_and_tell();
  void handle_write_error(int error);

  /// Closes when all that is queued has been delivered.
  void start_closing(CloseReason reason, std::string why);
  void linger();
  [[nodiscard]] std::size_t unacknowledged_bytes();
  void set_user_timeout(std::chrono::milliseconds limit);
  void start_timer(std::chrono::milliseconds after);
  void handle_timer();
  /// Tells the owner, once, from the loop.
  void report_closed(CloseReason reason, std::string why);
  void close(CloseReason reason, std::string why);
  /// Drops the socket and all that belongs to it.
  void forget_socket();

  asio::io_context& io_;
  Socket socket_;
  std::uint64_t round_ = 0;  // calls that belong to an earlier socket are ignored
  asio::steady_timer timer_;
  State state_ = State::connecting;
  ConnectionHandler* handler_ = nullptr;
  std::function<void(bool proven)> on_proven_;  // set by a listener: called in place of on_ready()

  std::shared_ptr<AddressRace> race_;  // of a dialler, until the peer is proven
  MakeHandshake make_handshake_;
  CloseReason dial_failure_{};  // the one that says most, so far
  std::string dial_failure_why_;

  std::unique_ptr<Handshake> handshake_;
  std::unique_ptr<RecordProtection> protection_;
  EndpointName peer_;
  EndpointName local_name_;
  Tcp::endpoint local_endpoint_;
  Tcp::endpoint remote_endpoint_;

  PoolBuffer input_;  // held only while there is something in it
  std::size_t input_size_ = 0;
  bool waiting_readable_ = false;
  bool at_end_ = false;

  OutputQueue output_;
  std::size_t sent_this_turn_ = 0;
  bool waiting_writable_ = false;
  bool flush_scheduled_ = false;
  int write_error_ = 0;

  std::size_t last_unacknowledged_ = 0;
  CloseReason close_reason_{};
  std::string close_why_;
  bool reported_closed_ = false;
};

}  // namespace sessionfs::fs
