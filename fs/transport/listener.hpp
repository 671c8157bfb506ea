// Connections from outside: one port for all endpoints that reside here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "fs/transport/connection.hpp"

namespace sessionfs::fs {

/// Incoming connections that have not proven their name yet; when there are more, the oldest is dropped.
inline constexpr std::size_t max_unproven_connections = 256;

class Listener {
 public:
  using Tcp = asio::ip::tcp;
  /// The identity that a dialler means by `sni` (see sni_of()), or null when it does not reside here. What it points
  /// to is used only until the callback's caller returns to the loop.
  using FindIdentity = std::function<const TlsIdentity*(std::string_view sni)>;
  /// A connection whose peer has proven its name. It must be given a handler before the call returns; on_ready() has
  /// been, and will not be called. Without a handler it is dropped.
  using OnIncoming = std::function<void(std::shared_ptr<SecureConnection>)>;

  enum class WhenTaken : std::uint8_t { fail, use_any_port };

  /// Listens on `address` (`[::]` takes IPv4 too). Throws boost::system::system_error when that cannot be.
  Listener(asio::io_context& io, const Tcp::endpoint& address, WhenTaken when_taken, FindIdentity find_identity,
           OnIncoming on_incoming);
  /// Connections that were handed over go on, all others are dropped.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::size_t unproven_count() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sessionfs::fs
