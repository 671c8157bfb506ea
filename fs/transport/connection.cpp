// The beginning of a connection and the way in; connection_output.cpp and connection_close.cpp have the rest.
#include "fs/transport/connection.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "fs/transport/address_race.hpp"
#include "fs/transport/connection_factory.hpp"
#include "fs/transport/handshake.hpp"
#include "fs/transport/record_protection.hpp"

namespace sessionfs::fs {

namespace {

using Tcp = asio::ip::tcp;

constexpr std::array access_denied_alert{std::byte{2}, std::byte{49}};  // fatal, access_denied (RFC 8446, 6.2)

// An IPv4 peer of a socket for both families is shown as what it is.
Tcp::endpoint plain(const Tcp::endpoint& endpoint) {
  if (!endpoint.address().is_v6() || !endpoint.address().to_v6().is_v4_mapped()) return endpoint;
  return {asio::ip::make_address_v4(asio::ip::v4_mapped, endpoint.address().to_v6()), endpoint.port()};
}

std::string text_of(const Tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(endpoint.port());
}

// KeyUpdate (RFC 8446, 4.6.3) up to its last byte, which says whether the peer shall change its key too.
constexpr std::array key_update_header{std::byte{24}, std::byte{0}, std::byte{0}, std::byte{1}};
constexpr std::size_t key_update_bytes = key_update_header.size() + 1;

// How much a failure says about the peer, to choose among those of several addresses.
int weight(CloseReason reason) {
  switch (reason) {
    case CloseReason::untrusted:
      return 4;
    case CloseReason::not_here:
      return 3;
    case CloseReason::protocol:
      return 2;
    case CloseReason::handshake_timeout:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

std::string_view to_string(CloseReason reason) {
  switch (reason) {
    case CloseReason::local:
      return "local";
    case CloseReason::eof:
      return "eof";
    case CloseReason::reset:
      return "reset";
    case CloseReason::network_error:
      return "network_error";
    case CloseReason::handshake_timeout:
      return "handshake_timeout";
    case CloseReason::not_here:
      return "not_here";
    case CloseReason::untrusted:
      return "untrusted";
    case CloseReason::protocol:
      return "protocol";
  }
  return "unknown";
}

CloseReason reason_of_errno(int error) {
  return error == ECONNRESET || error == EPIPE ? CloseReason::reset : CloseReason::network_error;
}

SecureConnection::SecureConnection(asio::io_context& io) : io_(io), socket_(io), timer_(io) {}

SecureConnection::~SecureConnection() = default;

// --- beginning ----------------------------------------------------------------------------------------------------

std::shared_ptr<SecureConnection> ConnectionFactory::dialled(asio::io_context& io, const EndpointName& local_name,
                                                             std::shared_ptr<AddressRace> race,
                                                             MakeHandshake make_handshake, ConnectionHandler* handler) {
  std::shared_ptr<SecureConnection> connection(new SecureConnection(io));
  connection->handler_ = handler;
  connection->local_name_ = local_name;
  connection->race_ = std::move(race);
  connection->make_handshake_ = std::move(make_handshake);
  connection->next_address();
  return connection;
}

std::shared_ptr<SecureConnection> ConnectionFactory::incoming(asio::io_context& io, Tcp::socket socket,
                                                              Handshake::FindIdentity find_identity,
                                                              std::function<void(bool proven)> on_proven) {
  std::shared_ptr<SecureConnection> connection(new SecureConnection(io));
  connection->on_proven_ = std::move(on_proven);
  connection->start_handshake(std::move(socket), std::make_unique<Handshake>(std::move(find_identity)));
  return connection;
}

void SecureConnection::next_address() {
  state_ = State::connecting;
  race_->next(
      [self = shared_from_this()](boost::system::error_code error, const Tcp::endpoint& address, Socket socket) {
        if (self->state_ != State::connecting) return;
        if (!error) {
          try {
            self->start_handshake(std::move(socket), self->make_handshake_());
          } catch (const std::runtime_error& failure) {
            self->close(CloseReason::protocol, failure.what());
          }
          return;
        }
        const bool late = error == asio::error::timed_out;
        const CloseReason reason = late ? CloseReason::handshake_timeout : CloseReason::network_error;
        if (self->dial_failure_why_.empty() || weight(reason) > weight(self->dial_failure_)) {
          self->dial_failure_ = reason;
          self->dial_failure_why_ = address.port() == 0 ? "there is no address to connect to"
                                                        : "connecting to " + text_of(address) + ": " + error.message();
        }
        self->close(self->dial_failure_, self->dial_failure_why_);
      });
}

void SecureConnection::start_handshake(Socket socket, std::unique_ptr<Handshake> handshake) {
  socket_ = std::move(socket);
  state_ = State::handshaking;
  handshake_ = std::move(handshake);
  boost::system::error_code error;
  socket_.non_blocking(true, error);
  socket_.set_option(Tcp::no_delay(true), error);
  set_user_timeout(tcp_user_timeout_ms);
  local_endpoint_ = plain(socket_.local_endpoint(error));
  remote_endpoint_ = plain(socket_.remote_endpoint(error));
  start_timer(handshake_timeout_ms);
  advance_handshake();
  if (state_ == State::handshaking) wait_readable();
}

void SecureConnection::advance_handshake() {
  std::span<const std::byte> input(input_.data(), input_size_);
  std::vector<std::byte> reply;
  const auto progress = handshake_->advance(input, reply);
  if (input_) {
    std::memmove(input_.data(), input.data(), input.size());
    input_size_ = input.size();
  }
  local_name_ = handshake_->local_name();
  output_.append_copy(reply);
  flush();
  if (state_ != State::handshaking) return;
  if (progress == Handshake::Progress::done) finish_handshake();
  if (progress == Handshake::Progress::failed) fail_handshake(handshake_->reason(), handshake_->why());
}

void SecureConnection::finish_handshake() {
  peer_ = handshake_->peer();
  protection_ = handshake_->take_protection();
  state_ = State::vetting;
  handshake_->trust().vet(peer_, handshake_->peer_certificate(), handshake_->vouched(),
                          [weak = weak_from_this(), round = round_](const std::string& why) {
                            const auto self = weak.lock();
                            if (self && round == self->round_ && self->state_ == State::vetting)
                              self->finish_vetting(why);
                          });
}

void SecureConnection::finish_vetting(const std::string& why) {
  asio::post(io_, [self = shared_from_this(), round = round_] {
    if (round == self->round_) self->take_what_came();
  });
  if (!why.empty()) {
    Gather content({access_denied_alert, {}, {}});
    if (!race_) seal(RecordType::alert, content);
    if (state_ == State::vetting) fail_handshake(CloseReason::untrusted, why);
    return;
  }
  timer_.cancel();
  handshake_.reset();
  make_handshake_ = nullptr;
  if (race_) race_->cancel();
  race_.reset();
  set_user_timeout(open_user_timeout_ms);
  state_ = State::open;
  if (on_proven_) {
    std::exchange(on_proven_, nullptr)(true);
  } else if (handler_ != nullptr) {
    handler_->on_ready(peer_);
  }
}

// While the peer was vetted.
void SecureConnection::take_what_came() {
  if (input_size_ > 0) handle_received();
  if (input_size_ == 0) input_.give_back();
  wait_readable();
}

void SecureConnection::fail_handshake(CloseReason reason, std::string why) {
  why = text_of(remote_endpoint_) + ": " + why;
  if (!race_) {
    if (reason == CloseReason::handshake_timeout) {
      close(reason, std::move(why));
    } else {
      start_closing(reason, std::move(why));  // the alert shall reach the peer
    }
    return;
  }
  if (dial_failure_why_.empty() || weight(reason) > weight(dial_failure_)) {
    dial_failure_ = reason;
    dial_failure_why_ = std::move(why);
  }
  forget_socket();
  next_address();
}

// --- reading ------------------------------------------------------------------------------------------------------

void SecureConnection::wait_readable() {
  if (waiting_readable_ || at_end_ || !socket_.is_open() || state_ == State::vetting) return;
  waiting_readable_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this(), round = round_](boost::system::error_code error) {
    if (round != self->round_) return;
    self->waiting_readable_ = false;
    if (!error) self->handle_readable();
  });
}

void SecureConnection::handle_readable() {
  for (std::size_t taken = 0; socket_.is_open() && !at_end_ && state_ != State::vetting; taken += pool_buffer_bytes) {
    if (taken >= max_bytes_per_turn) {
      asio::post(io_, [self = shared_from_this(), round = round_] {
        if (round == self->round_) self->handle_readable();
      });
      return;
    }
    if (!read_once()) break;
  }
  if (input_size_ == 0) input_.give_back();
  wait_readable();
}

bool SecureConnection::read_once() {
  if (!input_) input_ = PoolBuffer::borrow();
  const std::size_t room = pool_buffer_bytes - input_size_;
  const ssize_t count = ::recv(socket_.native_handle(), input_.data() + input_size_, room, MSG_DONTWAIT);
  const int error = errno;
  if (count > 0) {
    input_size_ += static_cast<std::size_t>(count);
    handle_received();
    return static_cast<std::size_t>(count) == room;
  }
  if (count < 0 && (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)) {
    if (write_error_ != 0) handle_end(reason_of_errno(write_error_), std::strerror(write_error_));
    return false;
  }
  if (count < 0) {
    handle_end(reason_of_errno(error), std::strerror(error));
  } else {
    handle_end(CloseReason::eof, "the peer closed the connection");
  }
  return false;
}

void SecureConnection::handle_received() {
  try {
    if (state_ == State::handshaking) advance_handshake();
    if (state_ == State::open) open_records();
  } catch (const RecordError& error) {
    close(CloseReason::protocol, error.what());
  }
  if (state_ != State::handshaking && state_ != State::vetting && state_ != State::open) input_size_ = 0;
}

void SecureConnection::open_records() {
  PoolBuffer plain_buffer = PoolBuffer::borrow();
  std::size_t plain_size = 0;
  const auto deliver = [&] {
    const std::span<const std::byte> plaintext(plain_buffer.data(), std::exchange(plain_size, 0));
    if (!plaintext.empty() && handler_ != nullptr) handler_->on_input(plaintext);
    return state_ == State::open;
  };
  std::span<const std::byte> input(input_.data(), input_size_);
  try {
    while (true) {
      const auto size = RecordProtection::record_size(input);
      if (!size || *size > input.size()) break;
      const auto opened = protection_->open(input.first(*size), plain_buffer.data() + plain_size);
      input = input.subspan(*size);
      if (opened.type == RecordType::application_data) {
        plain_size += opened.content.size();
      } else if (!deliver() || !handle_control_record(opened.type, opened.content)) {
        return;
      }
    }
  } catch (const RecordError&) {
    deliver();  // what came before is genuine
    throw;
  }
  if (!deliver()) return;
  std::memmove(input_.data(), input.data(), input.size());
  input_size_ = input.size();
}

bool SecureConnection::handle_control_record(RecordType type, std::span<const std::byte> content) {
  if (type == RecordType::handshake) return handle_key_update(content);
  if (type != RecordType::alert || content.size() != 2) throw RecordError("a TLS record of an unknown kind");
  const int alert = std::to_integer<int>(content[1]);
  const CloseReason reason = reason_of_alert(alert);
  std::string why = "the peer closed the connection";
  if (reason == CloseReason::untrusted) why = "the peer does not trust this side's certificate";
  if (reason != CloseReason::eof) why += std::string(" (TLS alert: ") + SSL_alert_desc_string_long(alert) + ")";
  close(reason, std::move(why));
  return false;
}

// The only handshake message that may come now.
bool SecureConnection::handle_key_update(std::span<const std::byte> message) {
  const bool expected = message.size() == key_update_bytes && std::ranges::equal(message.first(4), key_update_header) &&
                        std::to_integer<int>(message[4]) <= 1;
  if (!expected) throw RecordError("a TLS handshake message that is not expected");
  protection_->update_receive_key();
  if (message[4] == std::byte{1}) change_send_key();
  return state_ == State::open;
}

void SecureConnection::handle_end(CloseReason reason, std::string why) {
  at_end_ = true;
  if (state_ == State::handshaking || state_ == State::vetting) {
    fail_handshake(reason, reason == CloseReason::eof ? "closed during the TLS handshake" : std::move(why));
  } else if (state_ == State::lingering) {
    close(close_reason_, close_why_);
  } else if (state_ == State::open || (state_ == State::flushing && reason != CloseReason::eof)) {
    close(reason, std::move(why));
  }
}

}  // namespace sessionfs::fs
