#include "fs/transport/address_race.hpp"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "fs/transport/connection.hpp"

namespace sessionfs::fs {

namespace {

// Packets of the socket leave by this interface alone, whatever the routes say (socket(7)).
void bind_to(asio::ip::tcp::socket& socket, const std::string& interface, boost::system::error_code& error) {
  if (::setsockopt(socket.native_handle(), SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                   static_cast<socklen_t>(interface.size())) != 0)
    error.assign(errno, boost::system::system_category());
}

}  // namespace

AddressRace::AddressRace(asio::io_context& io, std::deque<Way> ways)
    : io_(io), waiting_(std::move(ways)), stagger_(io) {
  if (!waiting_.empty()) last_address_ = waiting_.front().address;
  while (waiting_.size() > max_dialled_addresses) waiting_.pop_back();
}

void AddressRace::next(Done done) {
  done_ = std::move(done);
  asio::post(io_, [self = shared_from_this()] {
    if (self->done_) self->start_one();
  });
}

void AddressRace::cancel() {
  done_ = nullptr;
  stop_running();
}

void AddressRace::start_one() {
  if (waiting_.empty()) {
    if (running_.empty()) finish(last_error_, last_address_, Tcp::socket(io_));
    return;
  }
  const auto attempt = std::make_shared<Attempt>(Attempt{Tcp::socket(io_), waiting_.front(), asio::steady_timer(io_)});
  waiting_.pop_front();
  running_.push_back(attempt);

  boost::system::error_code error;
  attempt->socket.open(attempt->way.address.protocol(), error);
  if (!error && !attempt->way.interface.empty()) bind_to(attempt->socket, attempt->way.interface, error);
  if (error) {
    asio::post(io_, [self = shared_from_this(), attempt, error] { self->handle_outcome(attempt, error); });
    return;
  }
  attempt->socket.async_connect(attempt->way.address,
                                [self = shared_from_this(), attempt](boost::system::error_code result) {
                                  self->handle_outcome(attempt, result);
                                });
  attempt->limit.expires_after(tcp_connect_timeout_ms);
  attempt->limit.async_wait([attempt](boost::system::error_code cancelled) {
    if (cancelled || attempt->over) return;
    attempt->timed_out = true;
    boost::system::error_code ignored;
    attempt->socket.close(ignored);
  });
  stagger_.expires_after(next_address_delay_ms);
  stagger_.async_wait([self = shared_from_this()](boost::system::error_code cancelled) {
    if (!cancelled && self->done_) self->start_one();
  });
}

void AddressRace::handle_outcome(const std::shared_ptr<Attempt>& attempt, boost::system::error_code error) {
  if (attempt->over) return;
  attempt->over = true;
  attempt->limit.cancel();
  running_.remove(attempt);
  if (!error && !attempt->timed_out) {
    finish({}, attempt->way.address, std::move(attempt->socket));
    return;
  }
  last_error_ = attempt->timed_out ? asio::error::make_error_code(asio::error::timed_out) : error;
  last_address_ = attempt->way.address;
  stagger_.cancel();
  start_one();
}

void AddressRace::finish(boost::system::error_code error, const Tcp::endpoint& address, Tcp::socket socket) {
  stop_running();
  const Done done = std::exchange(done_, nullptr);
  done(error, address, std::move(socket));
}

void AddressRace::stop_running() {
  stagger_.cancel();
  for (const auto& attempt : running_) {
    attempt->over = true;
    attempt->limit.cancel();
    boost::system::error_code ignored;
    attempt->socket.close(ignored);
    waiting_.push_back(attempt->way);
  }
  running_.clear();
}

}  // namespace sessionfs::fs
