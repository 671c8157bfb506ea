// How connections come into being: for dial() and Listener alone.
#pragma once

#include <functional>
#include <memory>

#include "fs/transport/address_race.hpp"
#include "fs/transport/connection.hpp"
#include "fs/transport/handshake.hpp"

namespace sessionfs::fs {

class ConnectionFactory {
 public:
  using MakeHandshake = std::function<std::unique_ptr<Handshake>()>;

  /// Connects to one of the race's addresses; every one gets a handshake of its own.
  static std::shared_ptr<SecureConnection> dialled(asio::io_context& io, const EndpointName& local_name,
                                                   std::shared_ptr<AddressRace> race, MakeHandshake make_handshake,
                                                   ConnectionHandler* handler);
  /// A connection that was accepted. `on_proven` is called once: with true when the peer has proven its name, with
  /// false when the connection has ended before.
  static std::shared_ptr<SecureConnection> incoming(asio::io_context& io, asio::ip::tcp::socket socket,
                                                    Handshake::FindIdentity find_identity,
                                                    std::function<void(bool proven)> on_proven);
};

}  // namespace sessionfs::fs
