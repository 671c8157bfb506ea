// What the tests of lookups in DNS share.
#pragma once

#include <gmock/gmock.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <functional>
#include <memory>

#include "sns/dns.hpp"
#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {

using asio::ip::tcp;
using asio::ip::udp;

// No limit of the lookup's own is reached on a slow machine.
inline constexpr std::chrono::milliseconds patient{30'000};
inline constexpr std::chrono::milliseconds first_try{1000};  // doubled with each of the next
inline constexpr int many_tries = 5;

inline tcp::endpoint at_address(const char* address, std::uint16_t port) {
  return {asio::ip::make_address(address), port};
}

// A port of loopback that was free just now, for UDP and TCP.
inline std::uint16_t free_port() {
  asio::io_context io;
  while (true) {
    tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    udp::socket socket(io, udp::v4());
    boost::system::error_code error;
    socket.bind({asio::ip::address_v4::loopback(), acceptor.local_endpoint().port()}, error);
    if (!error) return acceptor.local_endpoint().port();
  }
}

class DnsTest : public ::testing::Test {
 protected:
  Dns& dns(const std::string& server) {
    config_.servers = {server};
    dns_ = std::make_unique<Dns>(io_, config_);
    return *dns_;
  }
  Dns::Found wait(const std::function<void(Dns::Done)>& call) {
    std::optional<Dns::Found> found;
    bool inside = true;
    call([&](const Dns::Found& result) {
      EXPECT_FALSE(inside) << "called from inside the call";
      EXPECT_FALSE(found) << "called twice";
      found = result;
    });
    inside = false;
    if (!run_until(io_, [&] { return found.has_value(); })) std::abort();  // the callback refers to this frame
    EXPECT_EQ(found->status == Status::ok, !found->servers.empty());
    return *found;
  }
  Dns::Found servers(const std::string& domain) {
    return wait([&](Dns::Done done) { dns_->find_name_servers(domain, std::move(done)); });
  }
  Dns::Found host(const std::string& name, std::uint16_t port) {
    return wait([&](Dns::Done done) { dns_->find_host(name, port, std::move(done)); });
  }

  asio::io_context io_;
  DnsConfig config_{{}, first_try, many_tries, patient, 1};
  std::unique_ptr<Dns> dns_;
};

}  // namespace sessionfs::sns
