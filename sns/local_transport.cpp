#include <openssl/rand.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "sns/responder.hpp"
#include "sns/tls.hpp"
#include "sns/transport.hpp"

namespace sessionfs::sns {
namespace {

constexpr std::size_t max_news_at_once = 64;

class LocalTransport : public Transport {
 public:
  LocalTransport(asio::io_context& io, Responder& responder) : io_(io), responder_(responder) {}
  LocalTransport(const LocalTransport&) = delete;
  LocalTransport& operator=(const LocalTransport&) = delete;
  ~LocalTransport() override { drop(); }

  void open(Handlers handlers) override {
    drop();
    ChannelBinding binding{};
    if (RAND_bytes(reinterpret_cast<unsigned char*>(binding.data()), static_cast<int>(binding.size())) != 1)
      throw_openssl("no random bytes");
    link_ = std::make_shared<Link>(responder_, binding, std::move(handlers));
    link_->channel.on_news = [this] { later([this](Link& link) { tell(link); }); };
    later([binding](Link& link) { link.handlers.opened({Status::ok, binding, {}}); });
  }

  void send(std::span<const std::byte> body) override {
    later([this, request = std::vector<std::byte>(body.begin(), body.end())](Link& link) {
      auto answer = responder_.respond(link.channel, request, wall_time());
      if (answer.uncommitted && !responder_.commit()) Responder::to_failed(answer);
      // From here on the transport may be gone: the handler may have destroyed it.
      link.handlers.received(answer.reply);
      if (!answer.close || !link.open) return;
      link.open = false;
      link.handlers.broken();
    });
  }

  void close() override { drop(); }

 private:
  struct Link {
    Link(Responder& responder, const ChannelBinding& binding, Handlers told)
        : handlers(std::move(told)), channel(responder, binding) {}
    Handlers handlers;
    Responder::Channel channel;
    bool open = true;
  };

  void tell(Link& link) {
    for (const auto& reply : responder_.take_news(link.channel, max_news_at_once))
      if (link.open) link.handlers.received(reply);
  }

  void drop() {
    if (link_) link_->open = false;
    link_.reset();
  }

  template <class Action>
  void later(Action action) {
    asio::post(io_, [weak = std::weak_ptr(link_), action = std::move(action)]() mutable {
      if (const auto link = weak.lock(); link && link->open) action(*link);
    });
  }

  asio::io_context& io_;
  Responder& responder_;
  std::shared_ptr<Link> link_;
};

}  // namespace

std::unique_ptr<Transport> make_local_transport(asio::io_context& io, Responder& responder) {
  return std::make_unique<LocalTransport>(io, responder);
}

}  // namespace sessionfs::sns
