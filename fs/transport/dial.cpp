#include "fs/transport/dial.hpp"

#include <deque>

#include "fs/transport/connection_factory.hpp"

namespace sessionfs::fs {

namespace {

// Keeps the settings, not the identity, which may be gone or replaced when a later address is tried.
struct ContextReference {
  explicit ContextReference(SSL_CTX* from) : context(from) { SSL_CTX_up_ref(from); }
  SslCtxPtr context;
};

}  // namespace

std::shared_ptr<SecureConnection> dial(asio::io_context& io, const TlsIdentity& identity, const EndpointName& peer,
                                       std::vector<Way> ways, ConnectionHandler* handler) {
  auto race = std::make_shared<AddressRace>(io, std::deque<Way>(ways.begin(), ways.end()));
  auto make_handshake = [reference = std::make_shared<ContextReference>(identity.context()), local = identity.name(),
                         peer] { return std::make_unique<Handshake>(reference->context.get(), local, peer); };
  return ConnectionFactory::dialled(io, identity.name(), std::move(race), std::move(make_handshake), handler);
}

}  // namespace sessionfs::fs
