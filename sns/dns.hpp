// Where a domain's name servers are, asked of DNS: the first half of the lookup of a name (thesis, 3.3.4). By c-ares,
// on the loop, without threads. What DNS says is not proven: who answers at an address found here still has to prove
// that it is the domain's server.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sns/types.hpp"

namespace sessionfs::sns {

namespace asio = boost::asio;

inline constexpr std::chrono::milliseconds dns_query_limit{600};  // for one server's first answer; then twice as long
inline constexpr int dns_tries = 2;                               // of each server
inline constexpr std::chrono::milliseconds dns_lookup_limit{3000};
inline constexpr std::chrono::seconds min_dns_lifetime{5};
inline constexpr std::chrono::seconds max_dns_lifetime{3600};
inline constexpr std::size_t max_srv_targets = 8;        // of one domain, the first ones in order
inline constexpr std::size_t max_host_addresses = 8;     // of one host
inline constexpr std::size_t max_server_addresses = 32;  // of one domain
inline constexpr std::size_t max_dns_lookups = 256;      // of this process; one more ends with Status::unreachable

struct DnsConfig {
  std::vector<std::string> servers;  // "IPv4:PORT" or "[IPv6]:PORT"; none: those of /etc/resolv.conf
  std::chrono::milliseconds query_limit = dns_query_limit;
  int tries = dns_tries;
  std::chrono::milliseconds lookup_limit = dns_lookup_limit;  // for all that one call asks
  std::uint64_t seed = std::random_device{}();                // of the choice by weight
};

/// Whether DNS knows such domains at all. Not "local" and what is in it (RFC 6762, 3), "localhost" and "invalid"
/// (RFC 6761, 6), "onion" (RFC 7686), and no text of an IP address: a top-level domain is never a number (RFC 3696, 2).
bool is_dns_domain(std::string_view domain);

class Dns {
 public:
  struct Found {
    /// ok; not_found: the domain or host does not exist, or has no address, or says that it has no such service;
    /// unreachable: no DNS server has answered, or none with sense.
    Status status = Status::unreachable;
    std::vector<asio::ip::tcp::endpoint> servers;  // to be tried in this order; not empty when ok
    std::chrono::seconds lifetime{};               // of this answer, when ok
  };
  using Done = std::function<void(const Found&)>;

  explicit Dns(asio::io_context& io, DnsConfig config = {});
  /// Nobody is called any more.
  ~Dns();
  Dns(const Dns&) = delete;
  Dns& operator=(const Dns&) = delete;

  // `done` is called once, from the loop. /etc/resolv.conf and /etc/hosts are read again for each call.

  /// By the SRV records of _sns._tcp.DOMAIN; where there are none, the domain's own addresses with default_port.
  /// Of a target with both families: IPv6 and IPv4 in turn.
  void find_name_servers(const std::string& domain, Done done);
  /// A name or an IP address, which may have a zone.
  void find_host(const std::string& host, std::uint16_t port, Done done);

 private:
  class Lookup;
  std::shared_ptr<Lookup> add(Done done);

  asio::io_context& io_;
  DnsConfig config_;
  std::mt19937_64 random_;
  std::set<std::shared_ptr<Lookup>> lookups_;
};

}  // namespace sessionfs::sns
