#include "fs/transport/listener.hpp"

#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <utility>

#include "fs/transport/connection_factory.hpp"

namespace sessionfs::fs {

namespace {

/// accept() that fails (no descriptors left, say) is tried again after this time.
constexpr std::chrono::milliseconds accept_retry_ms{100};

}  // namespace

class Listener::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, FindIdentity find_identity, OnIncoming on_incoming)
      : io_(io),
        acceptor_(io),
        retry_(io),
        find_identity_(std::move(find_identity)),
        on_incoming_(std::move(on_incoming)) {}

  void listen(Tcp::endpoint address, WhenTaken when_taken) {
    boost::system::error_code error = try_address(address);
    if (error == asio::error::address_family_not_supported && address.address() == asio::ip::address_v6::any()) {
      address.address(asio::ip::address_v4::any());  // a host without IPv6
      error = try_address(address);
    }
    if (error == asio::error::address_in_use && when_taken == WhenTaken::use_any_port) {
      error = try_address(Tcp::endpoint(address.address(), 0));
    }
    if (error) throw boost::system::system_error(error, "listening on port " + std::to_string(address.port()));
    port_ = acceptor_.local_endpoint().port();
    accept();
  }

  void stop() {
    stopped_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    for (const auto& [id, connection] : std::exchange(unproven_, {})) connection->abort();
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::size_t unproven_count() const { return unproven_.size(); }

 private:
  boost::system::error_code try_address(const Tcp::endpoint& address) {
    boost::system::error_code error;
    acceptor_ = Tcp::acceptor(io_);
    acceptor_.open(address.protocol(), error);
    if (!error) acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
    if (!error && address.address().is_v6()) {
      acceptor_.set_option(asio::ip::v6_only(!address.address().is_unspecified()), error);
    }
    if (!error) acceptor_.bind(address, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    return error;
  }

  void accept() {
    acceptor_.async_accept([self = shared_from_this()](boost::system::error_code error, Tcp::socket socket) {
      if (self->stopped_) return;
      if (error) {
        self->accept_later();
        return;
      }
      self->take(std::move(socket));
      self->accept();
    });
  }

  void accept_later() {
    retry_.expires_after(accept_retry_ms);
    retry_.async_wait([self = shared_from_this()](boost::system::error_code) {
      if (!self->stopped_) self->accept();
    });
  }

  void take(Tcp::socket socket) {
    if (unproven_.size() >= max_unproven_connections) {
      const auto oldest = unproven_.extract(unproven_.begin());
      oldest.mapped()->abort();
    }
    const std::uint64_t number = ++last_number_;
    unproven_[number] = ConnectionFactory::incoming(
        io_, std::move(socket),
        [weak = weak_from_this()](std::string_view sni) -> const TlsIdentity* {
          const auto self = weak.lock();
          return self && !self->stopped_ ? self->find_identity_(sni) : nullptr;
        },
        [weak = weak_from_this(), number](bool proven) {
          if (const auto self = weak.lock()) self->handle_outcome(number, proven);
        });
  }

  void handle_outcome(std::uint64_t number, bool proven) {
    const auto found = unproven_.find(number);
    if (found == unproven_.end()) return;
    const std::shared_ptr<SecureConnection> connection = std::move(found->second);
    unproven_.erase(found);
    if (!proven) return;
    on_incoming_(connection);
    if (!connection->has_handler()) connection->abort();
  }

  asio::io_context& io_;
  Tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  FindIdentity find_identity_;
  OnIncoming on_incoming_;
  std::map<std::uint64_t, std::shared_ptr<SecureConnection>> unproven_;  // the oldest first
  std::uint64_t last_number_ = 0;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
};

Listener::Listener(asio::io_context& io, const Tcp::endpoint& address, WhenTaken when_taken, FindIdentity find_identity,
                   OnIncoming on_incoming)
    : impl_(std::make_shared<Impl>(io, std::move(find_identity), std::move(on_incoming))) {
  impl_->listen(address, when_taken);
}

Listener::~Listener() { impl_->stop(); }

std::uint16_t Listener::port() const { return impl_->port(); }

std::size_t Listener::unproven_count() const { return impl_->unproven_count(); }

}  // namespace sessionfs::fs
