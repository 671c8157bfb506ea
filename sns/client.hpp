// The client of a domain's name server.
//
// Everything happens on the thread that runs the io_context; nothing blocks. A callback is called once, never from
// inside the call that it was given to, and not at all once the Client is destroyed. A call ends in Config::timeout at
// the latest, then with Status::timed_out, unreachable or untrusted.
//
// One connection is kept, and made again by the next call when it broke. Calls that were under way when a connection
// broke that had worked before are sent once more. So a request may be carried out twice when an answer is lost:
// new_ep() and change_ep() by the same key and residence answer the same again, new_service() then answers `exists`,
// del_ep() and del_service() `not_found`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/name.hpp"
#include "sns/identity.hpp"
#include "sns/join_token.hpp"
#include "sns/membership.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

namespace asio = boost::asio;

class Calls;
class Responder;
class Transport;
struct Request;

inline constexpr std::chrono::milliseconds default_call_timeout{3000};
class Client {
 public:
  struct Config {
    Config() = default;
    Config(const Membership& membership);  // NOLINT(google-explicit-constructor): a membership is a configuration

    std::string domain;
    std::vector<std::string> servers;  // as parse_server() reads them, in order of preference
    bool ask_dns = false;              // for more of them, once these have not answered at once
    Certificate ca;                    // the domain's authority: who cannot prove to be its server is not asked
    bool first_use = false;            // none is known: that of the first server that answers counts from then on
    KeyPair member_key;                // for new_ep(); none: it ends with Status::not_member
    MemberId member_id = 0;
    std::chrono::milliseconds timeout = default_call_timeout;
  };
  using Done = std::function<void(Status)>;
  /// On ok: the certificate, where one was asked for, and within what time the residence has to be told again.
  struct Registered {
    std::optional<Certificate> certificate;
    std::chrono::seconds lease{};
  };
  using RegisteredDone = std::function<void(Status, const Registered&)>;
  using InfoDone = std::function<void(Status, const EndpointInfo&)>;

  /// Over TLS 1.3.
  Client(asio::io_context& io, const Config& config);
  /// Of a server in this process, which must outlive the client. `servers` and `ca` are not used.
  Client(asio::io_context& io, Responder& responder, Config config);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Creates the endpoint in the domain; `key` becomes its owner, and the certificate is for that key.
  /// ok also when it exists already with this same key and residence, or one of a lower generation.
  void new_ep(const EndpointName& name, const KeyPair& key, const Residence& residence, std::vector<Address> addresses,
              RegisteredDone done);
  /// Claims a residence of a higher generation than the known one, or says where the known one is and that it goes on:
  /// to be repeated within the lease. Else stale_generation. `certify`: a new certificate is asked for, too.
  void change_ep(const EndpointName& name, const KeyPair& key, const Residence& residence,
                 std::vector<Address> addresses, bool certify, RegisteredDone done);
  /// Removes it with all its services. This and all that changes services ends with stale_generation when another
  /// residence is known.
  void del_ep(const EndpointName& name, const KeyPair& key, const Residence& residence, Done done);
  void get_ep(const EndpointName& name, InfoDone done);

  /// `port`: where the service is reached if not at the endpoint's own port; 0: there.
  void new_service(const ServiceName& name, const KeyPair& key, const Residence& residence, Done done,
                   std::uint16_t port = 0);
  void change_service(const ServiceName& name, const KeyPair& key, const Residence& residence, std::uint16_t port,
                      Done done);
  void del_service(const ServiceName& name, const KeyPair& key, const Residence& residence, Done done);
  /// The endpoint's addresses with the service's port; not_found when there is no such endpoint or service.
  void get_service(const ServiceName& name, InfoDone done);

  /// Calls `news` with what the server says of `name`, soon and whenever it changes, until unwatch(): ok, or not_found,
  /// revoked. Keeps the connection open, and makes it again when it is lost; then all is told again. One watch a name:
  /// a second one replaces the first.
  void watch(const EndpointName& name, InfoDone news);
  void unwatch(const EndpointName& name);

  /// The authority by which the domain's server has proven to be it; none before it has answered, and for a server in
  /// this process.
  [[nodiscard]] const Certificate& authority() const;

  /// The network has changed: goes on over a new connection, without waiting to find that the old one is dead. Calls
  /// under way are sent again.
  void reconnect();

 private:
  Client(asio::io_context& io, std::unique_ptr<Transport> transport, Config config);
  void change(Request request, const EndpointName& name, const KeyPair& key, Done done);
  void change_registration(Request request, const EndpointName& name, const KeyPair& key, const KeyPair& signer,
                           RegisteredDone done);
  void get(Request request, const EndpointName& name, InfoDone done);

  Config config_;
  std::shared_ptr<Calls> calls_;
};

/// Makes this host a member of the token's domain with `key`. The token's server is believed if the authority that
/// it shows has the token's fingerprint. Keep the Membership at once: the token works again for this
/// key alone.
using JoinDone = std::function<void(Status, Membership)>;
void join(asio::io_context& io, const JoinToken& token, JoinDone done,
          std::chrono::milliseconds timeout = default_call_timeout, const KeyPair& key = KeyPair::generate());

asio::ip::tcp::endpoint to_endpoint(const Address& address);
/// An IPv4 address in IPv6 form becomes an IPv4 address; the scope of an IPv6 address is lost.
Address to_address(const asio::ip::tcp::endpoint& endpoint);
/// "10.0.0.1:4700", "[2001:db8::1]:4700"
std::string to_string(const Address& address);

}  // namespace sessionfs::sns
