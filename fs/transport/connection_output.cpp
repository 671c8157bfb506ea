// The way out of a connection: sealing, and few large system calls.
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fs/transport/connection.hpp"
#include "fs/transport/handshake.hpp"
#include "fs/transport/record_protection.hpp"

namespace sessionfs::fs {

namespace {

/// So much leaves at once, without waiting for the end of the turn: it is still in the processor's cache then.
constexpr std::size_t send_at_once_bytes = 128 * 1024;

/// The first records are small. A record is opened when all of it has come, and a full one is more than TCP sends
/// before the first acknowledgement (10 segments, RFC 6928): it would take a round trip more.
constexpr std::size_t first_record_content_bytes = 4096;
constexpr std::uint64_t first_records = 32;

constexpr std::array key_update{std::byte{24}, std::byte{0}, std::byte{0}, std::byte{1}, std::byte{0}};

}  // namespace

std::size_t SecureConnection::queued_bytes() const { return output_.size(); }

void SecureConnection::send(std::span<const std::byte> header, const Body& body) {
  if (state_ != State::open) return;
  Gather content({header, body[0], body[1]});
  seal(RecordType::application_data, content);
  if (output_.size() > max_queued_bytes) close(CloseReason::network_error, "more was sent than the peer takes");
  if (state_ == State::open) schedule_flush();
}

void SecureConnection::seal(RecordType type, Gather& content) {
  try {
    while (!content.empty() && write_error_ == 0) {
      if (protection_->send_key_is_used_up()) change_send_key();
      const bool first = protection_->records_sealed() < first_records;
      const std::size_t most = first ? first_record_content_bytes : max_record_content_bytes;
      std::byte* const to = output_.room(RecordProtection::sealed_size(content.size(), most));
      output_.append(protection_->seal(type, content, to, most));
      if (output_.size() >= send_at_once_bytes && sent_this_turn_ < max_bytes_per_turn) flush();
    }
  } catch (const RecordError& error) {
    close(CloseReason::protocol, error.what());
  }
}

void SecureConnection::change_send_key() {
  Gather content({key_update, {}, {}});
  std::byte* const to = output_.room(RecordProtection::sealed_size(content.size()));
  output_.append(protection_->seal(RecordType::handshake, content, to));
  protection_->update_send_key();
  schedule_flush();
}

void SecureConnection::schedule_flush() {
  if (flush_scheduled_ || waiting_writable_) return;
  flush_scheduled_ = true;
  asio::post(io_, [self = shared_from_this(), round = round_] {
    if (round != self->round_) return;
    self->flush_scheduled_ = false;
    self->flush_and_tell();
  });
}

void SecureConnection::wait_writable() {
  if (std::exchange(waiting_writable_, true)) return;
  socket_.async_wait(Socket::wait_write, [self = shared_from_this(), round = round_](boost::system::error_code error) {
    if (round != self->round_ || error) return;
    self->waiting_writable_ = false;
    self->flush_and_tell();
  });
}

void SecureConnection::flush_and_tell() {
  sent_this_turn_ = 0;
  const bool was_full = output_.size() > low_water_bytes;
  flush();
  if (state_ == State::flushing && output_.empty() && write_error_ == 0) {
    linger();
  } else if (state_ == State::open || state_ == State::flushing) {
    if (!output_.empty()) schedule_flush();
    if (was_full && output_.size() <= low_water_bytes && state_ == State::open && handler_ != nullptr) {
      handler_->on_drained();
    }
  }
}

void SecureConnection::flush() {
  while (!output_.empty() && !waiting_writable_ && sent_this_turn_ < max_bytes_per_turn) {
    const std::ptrdiff_t sent = output_.send_some(socket_.native_handle());
    if (sent >= 0) {
      sent_this_turn_ += static_cast<std::size_t>(sent);
    } else if (sent == -EAGAIN || sent == -EWOULDBLOCK) {
      wait_writable();
    } else if (sent != -EINTR) {
      handle_write_error(static_cast<int>(-sent));
    }
  }
}

// The peer may have said why it closed: that is read first.
void SecureConnection::handle_write_error(int error) {
  write_error_ = error;
  output_.clear();
  asio::post(io_, [self = shared_from_this(), round = round_, error] {
    if (round != self->round_) return;
    if (self->at_end_) {
      self->close(reason_of_errno(error), std::strerror(error));
    } else {
      self->handle_readable();
    }
  });
}

}  // namespace sessionfs::fs
