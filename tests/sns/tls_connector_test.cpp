// Which of several servers is connected to, and what is remembered of it.
#include "sns/tls_connector.hpp"

#include "tests/sns/running_server.hpp"

namespace sessionfs::sns {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::hours;
using std::chrono::seconds;

// Two servers of one domain, in the test's own loop.
class TlsConnectorTest : public ::testing::Test {
 protected:
  TlsConnectorTest() { std::signal(SIGPIPE, SIG_IGN); }
  std::unique_ptr<Server> serve(std::uint16_t port = 0) {
    return std::make_unique<Server>(io_, responder_, Tcp::endpoint(asio::ip::address_v4::loopback(), port));
  }
  static ServerPlace place_of(const Server& server) { return {server.local_endpoint()}; }
  static std::string text_of(const Tcp::endpoint& endpoint) { return to_string(to_address(endpoint)); }
  ServerPlace connect(const Servers& servers, const std::optional<ServerPlace>& first = {}) {
    std::optional<ServerPlace> reached;
    const auto connector = std::make_shared<TlsConnector>(io_, context_, servers, first);
    connector->start([&](Status status, auto stream, const ServerPlace& place) {
      EXPECT_EQ(status, Status::ok);
      EXPECT_EQ(stream != nullptr, status == Status::ok);
      reached = place;
    });
    if (!run_until(io_, [&] { return reached.has_value(); })) std::abort();  // the callback refers to this frame
    return *reached;
  }

  TemporaryFolder folder_;
  asio::io_context io_;
  Responder responder_{Storage::open(folder_.path(), "verkstad.net", real_time())};
  Membership member_ = responder_.admit(KeyPair::generate(), real_time());
  Trust trust_{"verkstad.net", responder_.authority().certificate().fingerprint(),
               responder_.authority().certificate()};
  std::shared_ptr<asio::ssl::context> context_ = std::make_shared<asio::ssl::context>(make_client_context(trust_));
  std::unique_ptr<Server> one_ = serve();
  std::unique_ptr<Server> other_ = serve();
};

TEST_F(TlsConnectorTest, TheFirstPlaceIsTriedFirstForAsLongAsDnsHasSaid) {
  const Servers servers{{text_of(one_->local_endpoint())}, ""};
  ServerPlace last = place_of(*other_);
  EXPECT_EQ(connect(servers, last).address, last.address) << "it was not found by DNS";
  last.until = Clock::now() + hours(1);
  const auto reached = connect(servers, last);
  EXPECT_EQ(reached.address, last.address);
  EXPECT_EQ(reached.until, last.until) << "it has not been looked up anew";
  last.until = Clock::now();
  EXPECT_EQ(connect(servers, last).address, one_->local_endpoint());
}

TEST_F(TlsConnectorTest, WhatWasLookedUpHasALifetime) {
  const auto port = std::to_string(one_->local_endpoint().port());
  EXPECT_EQ(connect({{"127.0.0.1:" + port}, ""}).until, Clock::time_point::max());
  const auto before = Clock::now();
  const auto reached = connect({{"localhost:" + port}, ""});
  EXPECT_EQ(reached.address, one_->local_endpoint());
  EXPECT_GE(reached.until, before + min_dns_lifetime);
  EXPECT_LE(reached.until, Clock::now() + max_dns_lifetime);
}

TEST_F(TlsConnectorTest, AfterAConnectionHasFailedTheServersAreTriedInTheirOrder) {
  const auto preferred = one_->local_endpoint();
  const auto second = other_->local_endpoint();
  member_.servers = {text_of(preferred), text_of(second)};
  one_.reset();
  Client client(io_, member_);
  const auto nobody = endpoint("nobody@verkstad.net");
  EXPECT_EQ(Asker(io_, client).get_ep(nobody), Status::not_found);
  EXPECT_EQ(other_->connections(), 1U);
  one_ = serve(preferred.port());
  client.reconnect();
  EXPECT_EQ(Asker(io_, client).get_ep(nobody), Status::not_found);
  EXPECT_TRUE(run_until(io_, [&] { return one_->connections() == 0; })) << "the one that has answered is asked again";
  other_.reset();
  other_ = serve(second.port());
  ASSERT_TRUE(run_until(io_, [&] {
    return Asker(io_, client).get_ep(nobody) == Status::not_found && one_->connections() + other_->connections() > 0;
  }));
  EXPECT_EQ(one_->connections(), 1U);
}

}  // namespace
}  // namespace sessionfs::sns
