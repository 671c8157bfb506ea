// TLS 1.3 (RFC 8446) between a name server and its clients: the server alone shows a certificate, nothing is resumed.
// Both sides offer the application protocol `sessionfs-sns/1` (RFC 7301).
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <cstdint>

#include "sns/authority.hpp"
#include "sns/transport.hpp"

namespace sessionfs::sns {

/// Messages of TLS's own that a peer may send on one connection: those of the handshake, and after it KeyUpdates and
/// tickets, of which none is needed. One that sends more is read from no more.
inline constexpr std::uintptr_t max_handshake_messages = 64;

/// With a new key and a certificate of `authority` for server_lifetime, and the authority's certificate after it.
asio::ssl::context make_server_context(const Authority& authority, UnixTime now);

/// Its handshakes fail with a server that `trust` does not cover. `trust` must outlive the context.
asio::ssl::context make_client_context(const Trust& trust);

/// The authority that vouches for the server of a finished handshake. None when it is not to be trusted.
Certificate trusted_authority(SSL* ssl, const Trust& trust);

/// tls-exporter of RFC 9266. Throws std::runtime_error before the handshake is finished.
ChannelBinding channel_binding(SSL* ssl);

inline UnixTime wall_time() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

}  // namespace sessionfs::sns
