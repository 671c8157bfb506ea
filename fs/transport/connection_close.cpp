// The end of a connection, in order or at once.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "fs/transport/address_race.hpp"
#include "fs/transport/connection.hpp"
#include "fs/transport/handshake.hpp"
#include "fs/transport/record_protection.hpp"

namespace sessionfs::fs {

namespace {

constexpr std::array close_notify_alert{std::byte{1}, std::byte{0}};  // warning, close_notify

}  // namespace

void SecureConnection::close_after_flush() {
  if (state_ == State::connecting || state_ == State::handshaking || state_ == State::vetting) abort();
  if (state_ != State::open) return;
  Gather content({close_notify_alert, {}, {}});
  seal(RecordType::alert, content);
  if (state_ == State::open) start_closing(CloseReason::local, "closed here");
}

void SecureConnection::abort() {
  if (state_ != State::closed) close(CloseReason::local, "closed here");
}

void SecureConnection::start_closing(CloseReason reason, std::string why) {
  state_ = State::flushing;
  set_user_timeout(tcp_user_timeout_ms);
  close_reason_ = reason;
  close_why_ = std::move(why);
  last_unacknowledged_ = unacknowledged_bytes();
  start_timer(on_proven_ ? refusal_linger_timeout_ms : linger_timeout_ms);
  schedule_flush();
}

// close() with input that nobody has read makes the kernel reset the connection, and what the peer has not got yet is
// lost. So the end is announced, and input taken, until the peer has closed too.
void SecureConnection::linger() {
  state_ = State::lingering;
  if (!on_proven_) report_closed(close_reason_, close_why_);  // a listener counts it as long as the socket is there
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  if (at_end_) close(close_reason_, close_why_);
}

std::size_t SecureConnection::unacknowledged_bytes() {
  int in_kernel = 0;
  if (::ioctl(socket_.native_handle(), SIOCOUTQ, &in_kernel) != 0) in_kernel = 0;
  return output_.size() + static_cast<std::size_t>(in_kernel);
}

void SecureConnection::set_user_timeout(std::chrono::milliseconds limit) {
  const auto limit_ms = static_cast<unsigned>(limit.count());
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms);
}

void SecureConnection::start_timer(std::chrono::milliseconds after) {
  timer_.expires_after(after);
  timer_.async_wait([self = shared_from_this()](boost::system::error_code cancelled) {
    if (!cancelled && self->timer_.expiry() <= asio::steady_timer::clock_type::now()) self->handle_timer();
  });
}

void SecureConnection::handle_timer() {
  if (state_ == State::handshaking || state_ == State::vetting) {
    fail_handshake(CloseReason::handshake_timeout, state_ == State::vetting
                                                       ? "whether to believe the peer was not found out in time"
                                                       : "no TLS handshake in time");
  } else if (state_ == State::flushing || state_ == State::lingering) {
    const std::size_t left = unacknowledged_bytes();
    if (left > 0 && left < last_unacknowledged_) {
      last_unacknowledged_ = left;
      start_timer(linger_timeout_ms);
      return;
    }
    const bool lost = left > 0 && close_reason_ == CloseReason::local;
    close(lost ? CloseReason::network_error : close_reason_, lost ? "the peer took no more data" : close_why_);
  }
}

void SecureConnection::report_closed(CloseReason reason, std::string why) {
  if (std::exchange(reported_closed_, true)) return;
  asio::post(io_, [self = shared_from_this(), reason, why = std::move(why)]() mutable {
    if (self->on_proven_) std::exchange(self->on_proven_, nullptr)(false);
    if (self->handler_ != nullptr) std::exchange(self->handler_, nullptr)->on_closed(reason, std::move(why));
  });
}

void SecureConnection::close(CloseReason reason, std::string why) {
  report_closed(reason, std::move(why));
  forget_socket();
  state_ = State::closed;
  if (race_) race_->cancel();
  race_.reset();
  make_handshake_ = nullptr;
}

void SecureConnection::forget_socket() {
  ++round_;
  timer_.cancel();
  if (socket_.is_open()) set_user_timeout(tcp_user_timeout_ms);  // of what the kernel still delivers
  boost::system::error_code ignored;
  socket_.close(ignored);
  output_.clear();
  input_size_ = 0;
  write_error_ = 0;
  waiting_readable_ = waiting_writable_ = flush_scheduled_ = at_end_ = false;
}

}  // namespace sessionfs::fs
