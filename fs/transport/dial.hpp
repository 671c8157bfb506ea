// Connections from here: by one of several addresses to one endpoint.
#pragma once

#include <memory>
#include <vector>

#include "fs/transport/address_race.hpp"
#include "fs/transport/connection.hpp"

namespace sessionfs::fs {

/// Connects as `identity` to the endpoint `peer` on one of `ways` (at most max_dialled_addresses, best first).
///
/// They are tried as RFC 8305 says: the next one starts when the one before has failed, or has not answered for
/// next_address_delay_ms; the first to stand is used. When its TLS handshake fails, those left are tried. The handler
/// learns the outcome by on_ready() or on_closed(), always later; of several failures it gets the one that says most
/// (untrusted, not_here, protocol, then the others).
/// abort() cancels all of it.
std::shared_ptr<SecureConnection> dial(asio::io_context& io, const TlsIdentity& identity, const EndpointName& peer,
                                       std::vector<Way> ways, ConnectionHandler* handler);

}  // namespace sessionfs::fs
