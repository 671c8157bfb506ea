#include "fs/transport/address_race.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "fs/transport/connection.hpp"

namespace sessionfs::fs {

AddressRace::AddressRace(asio::io_context& io, std::deque<Tcp::endpoint> addresses,
                         std::optional<asio::ip::address> local)
    : io_(io), waiting_(std::move(addresses)), local_(std::move(local)), stagger_(io) {
  if (!waiting_.empty()) last_address_ = waiting_.front();
  if (local_) {
    std::erase_if(waiting_, [this](const Tcp::endpoint& each) { return each.address().is_v4() != local_->is_v4(); });
  }
  if (waiting_.size() > max_dialled_addresses) waiting_.resize(max_dialled_addresses);
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
  attempt->socket.open(attempt->address.protocol(), error);
  if (!error && local_) attempt->socket.bind(Tcp::endpoint(*local_, 0), error);
  if (error) {
    asio::post(io_, [self = shared_from_this(), attempt, error] { self->handle_outcome(attempt, error); });
    return;
  }
  attempt->socket.async_connect(attempt->address,
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
    finish({}, attempt->address, std::move(attempt->socket));
    return;
  }
  last_error_ = attempt->timed_out ? asio::error::make_error_code(asio::error::timed_out) : error;
  last_address_ = attempt->address;
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
    waiting_.push_back(attempt->address);
  }
  running_.clear();
}

}  // namespace sessionfs::fs
