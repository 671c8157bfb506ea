// `snsd token`.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <openssl/rand.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <stdexcept>

#include "sns/join_token.hpp"
#include "sns/openssl.hpp"
#include "sns/snsd_admin.hpp"
#include "sns/tls.hpp"

namespace sessionfs::sns {
namespace {

using Tcp = asio::ip::tcp;

std::string to_text(const Tcp::endpoint& endpoint) { return to_string(to_address(endpoint)); }

// The addresses by which other hosts may reach what listens on `served`.
std::vector<std::string> reachable_addresses(const Tcp::endpoint& served) {
  if (!served.address().is_unspecified()) return {to_text(served)};
  std::vector<std::string> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) list = nullptr;
  const std::unique_ptr<ifaddrs, OpensslFree<freeifaddrs>> owner(list);
  for (const ifaddrs* one = list; one != nullptr && found.size() < max_token_servers; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_LOOPBACK) != 0 || (one->ifa_flags & IFF_UP) == 0) continue;
    if (one->ifa_addr->sa_family == AF_INET) {
      const auto* address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
      found.push_back(to_text({asio::ip::address_v4(ntohl(address->sin_addr.s_addr)), served.port()}));
    } else if (one->ifa_addr->sa_family == AF_INET6 && served.address().is_v6()) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
      asio::ip::address_v6::bytes_type bytes{};
      std::copy_n(address->sin6_addr.s6_addr, bytes.size(), bytes.begin());
      const asio::ip::address_v6 ip(bytes);
      // One of a link means nothing without the interface, which other hosts call differently.
      if (!ip.is_link_local()) found.push_back(to_text({ip, served.port()}));
    }
  }
  if (found.empty()) found.push_back("127.0.0.1:" + std::to_string(served.port()));
  return found;
}

}  // namespace

std::optional<Tcp::endpoint> parse_numeric(const std::string& text) {
  const auto server = parse_server(text);
  if (!server) return std::nullopt;
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(server->host, error);
  if (error) return std::nullopt;
  return Tcp::endpoint(ip, server->port);
}

void AdminCommands::token() const {
  Storage storage = attach();
  JoinToken made{storage.domain(), addresses_, storage.authority().certificate().fingerprint(), {}};
  if (made.servers.empty()) {
    const auto served = parse_numeric(storage.served_at());
    made.servers = reachable_addresses(served ? *served : *parse_numeric(default_listen));
  }
  if (RAND_bytes(reinterpret_cast<unsigned char*>(made.secret.data()), static_cast<int>(made.secret.size())) != 1)
    throw_openssl("no random bytes");
  const UnixTime now = wall_time();
  if (!storage.add_token(made.secret, now + std::chrono::seconds(expiry_s_), now))
    throw std::runtime_error("there are too many tokens; wait until some have expired");
  std::cout << format(made) << std::endl;
}

}  // namespace sessionfs::sns
