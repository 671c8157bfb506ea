#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "sns/tls.hpp"
#include "sns/tls_connector.hpp"
#include "sns/transport.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {
namespace {

using boost::system::error_code;

// What connections keep alive: their context refers to the trust.
struct Tls {
  explicit Tls(Trust whom) : trust(std::move(whom)), context(make_client_context(trust)) {}
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;
  Trust trust;
  asio::ssl::context context;
};

// An open connection. It lives as long as an operation is under way, and calls nobody after close().
class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(std::unique_ptr<TlsStream> stream, std::shared_ptr<Tls> tls, Transport::Handlers handlers)
      : tls_(std::move(tls)), stream_(std::move(stream)), handlers_(std::move(handlers)) {}

  void send(std::span<const std::byte> body) {
    append_frame(waiting_, body);
    if (sending_.empty()) write();
  }

  void close() {
    open_ = false;
    error_code ignored;
    // What was sent on a dead connection is sent again on the next one. Left in the kernel it could still arrive when
    // an old address comes back, later than what has replaced it.
    stream_->next_layer().set_option(asio::socket_base::linger(true, 0), ignored);
    stream_->next_layer().close(ignored);
  }

  void read() {
    const auto used = received_.size();
    received_.resize(used + read_bytes);
    stream_->async_read_some(asio::buffer(received_.data() + used, read_bytes),
                             [self = shared_from_this(), used](error_code error, std::size_t count) {
                               self->received_.resize(used + count);
                               self->handle_read(error);
                             });
  }

 private:
  void handle_read(error_code error) {
    if (!open_) return;
    if (error) return handle_broken();
    std::size_t consumed = 0;
    while (open_) {
      const auto frame = split_frame(std::span(received_).subspan(consumed));
      if (frame.kind == FrameSplit::Kind::violation) return handle_broken();
      if (frame.kind == FrameSplit::Kind::incomplete) break;
      consumed += frame.consumed_bytes;
      handlers_.received(frame.body);
    }
    if (!open_) return;
    received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(consumed));
    read();
  }

  void write() {
    sending_ = std::exchange(waiting_, {});
    asio::async_write(*stream_, asio::buffer(sending_), [self = shared_from_this()](error_code error, std::size_t) {
      if (!self->open_) return;
      if (error) return self->handle_broken();
      self->sending_.clear();
      if (!self->waiting_.empty()) self->write();
    });
  }

  void handle_broken() {
    close();
    handlers_.broken();
  }

  std::shared_ptr<Tls> tls_;
  std::unique_ptr<TlsStream> stream_;
  Transport::Handlers handlers_;
  std::vector<std::byte> received_;
  std::vector<std::byte> sending_;
  std::vector<std::byte> waiting_;
  bool open_ = true;
};

class TlsTransport : public Transport {
 public:
  TlsTransport(asio::io_context& io, Servers servers, Trust trust)
      : io_(io), servers_(std::move(servers)), tls_(std::make_shared<Tls>(std::move(trust))) {}
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;
  ~TlsTransport() override { drop(); }

  void open(Handlers handlers) override {
    drop();
    connector_ = std::make_shared<TlsConnector>(io_, std::shared_ptr<asio::ssl::context>(tls_, &tls_->context),
                                                servers_, last_good_);
    // The transport cancels the connector before it goes, so `this` is there.
    connector_->start([this, handlers = std::move(handlers)](Status status, auto stream, const auto& where) {
      connector_.reset();
      last_good_.reset();
      if (status != Status::ok) return handlers.opened({status, {}, {}});
      handle_connected(std::move(stream), where, handlers);
    });
  }

  void send(std::span<const std::byte> body) override {
    if (link_) link_->send(body);
  }

  void close() override { drop(); }

 private:
  void handle_connected(std::unique_ptr<TlsStream> stream, const ServerPlace& where, Handlers handlers) {
    Opened opened{Status::ok, channel_binding(stream->native_handle()),
                  trusted_authority(stream->native_handle(), tls_->trust)};
    if (!opened.ca) return handlers.opened({Status::untrusted, {}, {}});
    // From here on it is this one, whoever answers.
    tls_->trust = {tls_->trust.domain, opened.ca.fingerprint(), opened.ca, false};
    last_good_ = where;
    const auto tell = std::move(handlers.opened);
    handlers.broken = [this, broken = std::move(handlers.broken)] {
      last_good_.reset();
      broken();
    };
    link_ = std::make_shared<Link>(std::move(stream), tls_, std::move(handlers));
    link_->read();
    tell(opened);
  }

  void drop() {
    if (const auto connector = std::exchange(connector_, nullptr)) connector->cancel();
    if (const auto link = std::exchange(link_, nullptr)) link->close();
  }

  asio::io_context& io_;
  Servers servers_;
  std::shared_ptr<Tls> tls_;
  std::shared_ptr<TlsConnector> connector_;
  std::shared_ptr<Link> link_;
  std::optional<ServerPlace> last_good_;  // tried first by the next open()
};

}  // namespace

std::unique_ptr<Transport> make_tls_transport(asio::io_context& io, Servers servers, Trust trust) {
  return std::make_unique<TlsTransport>(io, std::move(servers), std::move(trust));
}

}  // namespace sessionfs::sns
