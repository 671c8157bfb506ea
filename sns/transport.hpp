// How a client's requests get to a name server: over TLS, or by a call where the server is in this process.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sns/identity.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

namespace asio = boost::asio;

class Responder;

/// One connection at a time, to one of a domain's servers. No handler is called from within open() or send().
class Transport {
 public:
  struct Opened {
    Status status = Status::unreachable;  // ok, unreachable, untrusted
    ChannelBinding binding{};
    Certificate ca;  // who vouches for the server; none for a server in this process
  };
  struct Handlers {
    std::function<void(const Opened&)> opened;                      // once
    std::function<void(std::span<const std::byte> body)> received;  // for each frame
    std::function<void()> broken;                                   // once at most, after it was opened
  };

  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;  // as close()

  /// Also again, after it could not be opened, has broken, or was closed.
  virtual void open(Handlers handlers) = 0;
  /// The body of one frame; only while it is open.
  virtual void send(std::span<const std::byte> body) = 0;
  /// No handler is called any more.
  virtual void close() = 0;
};

/// Whom a client believes to be the name server of `domain`.
struct Trust {
  std::string domain;
  Fingerprint ca{};      // of the authority's certificate
  Certificate known_ca;  // that certificate; none: the server must show it
  bool first_use =
      false;  // no authority is known: the first that a server of the domain shows is believed from then on
};

/// Where to look for a domain's name servers.
struct Servers {
  std::vector<std::string> known;  // as parse_server() reads them, in order of preference
  std::string dns_domain;          // whose servers DNS is asked for, once these have not answered at once; empty: none
};

std::unique_ptr<Transport> make_tls_transport(asio::io_context& io, Servers servers, Trust trust);
/// `responder` must outlive the transport.
std::unique_ptr<Transport> make_local_transport(asio::io_context& io, Responder& responder);

}  // namespace sessionfs::sns
