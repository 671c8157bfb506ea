// The server and the client on loopback.
#include "sns/server.hpp"

#include <openssl/x509v3.h>

#include "tests/sns/running_server.hpp"

namespace sessionfs::sns {
namespace {

class ServerFamilyTest : public ServerTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(ServerFamilyTest, TheEightRequests) {
  if (std::string(GetParam()).find(':') != std::string::npos && !has_ipv6()) GTEST_SKIP() << "no IPv6 here";
  start(GetParam());
  Client client(io_, config());
  Asker ask(io_, client);
  const auto file = service("file.alice@verkstad.net");
  EXPECT_EQ(ask.get_ep(alice_), Status::not_found);
  ASSERT_EQ(ask.new_ep(alice_, key_, at(1), {v4(1, 4700), v6(1, 4700)}), Status::ok);
  ASSERT_TRUE(ask.registered.certificate);
  EXPECT_TRUE(
      verify_chain(ask.registered.certificate->get(), server_->ca().get(), X509_PURPOSE_SSL_CLIENT, real_time()));
  EXPECT_EQ(ask.new_ep(alice_, KeyPair::generate()), Status::exists);
  EXPECT_EQ(ask.new_service(file, key_), Status::ok);
  EXPECT_EQ(ask.get_service(file), Status::ok);
  EXPECT_EQ(ask.info, (EndpointInfo{1, key_.public_key(), {v4(1, 4700), v6(1, 4700)}, {}}));
  EXPECT_EQ(ask.change_service(file, key_, 5), Status::ok);
  EXPECT_EQ(ask.change_ep(alice_, key_, at(2), {v4(2, 4700)}), Status::ok);
  EXPECT_EQ(ask.change_ep(alice_, key_, at(1), {}), Status::stale_generation);
  EXPECT_EQ(ask.get_service(file), Status::ok);
  EXPECT_EQ(ask.info.addresses, std::vector{v4(2, 5)});
  EXPECT_EQ(ask.del_ep(alice_, KeyPair::generate(), at(2)), Status::bad_signature);
  EXPECT_EQ(ask.del_service(file, key_, at(2)), Status::ok);
  EXPECT_EQ(ask.del_ep(alice_, key_, at(2)), Status::ok);
  EXPECT_EQ(ask.get_ep(alice_), Status::not_found);
  EXPECT_EQ(server_->connections(), 1U) << "one connection is kept";
}

INSTANTIATE_TEST_SUITE_P(Families, ServerFamilyTest, ::testing::Values("127.0.0.1", "::1"),
                         [](const auto& info) { return std::string(info.param) == "::1" ? "IPv6" : "IPv4"; });

TEST_F(ServerTest, TheWildcardOfIpv6TakesBothFamilies) {
  if (!has_ipv6()) GTEST_SKIP() << "no IPv6 here";
  start("::");
  for (const char* host : {"127.0.0.1", "[::1]", "localhost"}) {
    auto to = config();
    to.servers = {host + (":" + std::to_string(server_->endpoint().port()))};
    Client client(io_, to);
    EXPECT_EQ(Asker(io_, client).get_ep(alice_), Status::not_found) << host;
  }
}

TEST_F(ServerTest, ManyCallsAreUnderWayAtOnce) {
  start();
  Client client(io_, config());
  ASSERT_EQ(Asker(io_, client).new_ep(alice_, key_), Status::ok);
  int ended = 0;
  for (int i = 0; i < 100; ++i) {
    client.new_service({"s" + std::to_string(i), alice_}, key_, at(1), [&](Status status) {
      EXPECT_EQ(status, Status::ok);
      ++ended;
    });
    client.get_ep(alice_, [&](Status status, const EndpointInfo&) {
      EXPECT_EQ(status, Status::ok);
      ++ended;
    });
  }
  run_until(io_, [&] { return ended == 200; });
}

TEST_F(ServerTest, JoinMakesAMember) {
  start();
  const auto token = parse_join_token(format(server_->token(std::chrono::hours(1)))).value();
  const auto join_by = [&](const JoinToken& by) {
    std::optional<Status> result;
    Membership made;
    join(io_, by, [&](Status status, Membership membership) {
      result = status;
      made = std::move(membership);
    });
    EXPECT_FALSE(result);
    if (!run_until(io_, [&] { return result.has_value(); })) std::abort();
    return std::pair(*result, made);
  };
  auto wrong = token;
  wrong.ca[0] ^= std::byte{1};
  EXPECT_EQ(join_by(wrong).first, Status::untrusted);
  wrong = token;
  wrong.domain = "example.com";
  EXPECT_EQ(join_by(wrong).first, Status::untrusted);
  wrong = token;
  wrong.secret[5] ^= std::byte{1};
  EXPECT_EQ(join_by(wrong).first, Status::token_unknown);
  EXPECT_EQ(join_by(server_->token(std::chrono::seconds(-1))).first, Status::token_expired);

  const auto [status, membership] = join_by(token);
  ASSERT_EQ(status, Status::ok);
  EXPECT_EQ(membership.domain, "verkstad.net");
  EXPECT_EQ(membership.servers, token.servers);
  EXPECT_EQ(membership.ca.fingerprint(), token.ca);
  EXPECT_EQ(membership.member_certificate.public_key(), membership.member_key.public_key());
  EXPECT_EQ(join_by(token).first, Status::token_used);
  Client client(io_, membership);
  EXPECT_EQ(Asker(io_, client).new_ep(alice_, key_), Status::ok);
}

TEST_F(ServerTest, AJoinThatIsLeftAloneGoesWithTheLoop) {
  start();
  {
    asio::io_context io;
    join(io, server_->token(std::chrono::hours(1)), [](Status, const Membership&) { ADD_FAILURE(); });
  }
  expect_served();
}

TEST_F(ServerTest, AnotherAuthoritysServerIsNotBelieved) {
  start();
  auto other = config();
  other.ca = Authority::create("verkstad.net", real_time()).certificate();
  Client client(io_, other);
  EXPECT_EQ(Asker(io_, client).get_ep(alice_), Status::untrusted);
  other = config();
  other.domain = "example.com";
  Client elsewhere(io_, other);
  EXPECT_EQ(Asker(io_, elsewhere).get_ep(endpoint("a@example.com")), Status::untrusted);
  other = config();
  other.ca = {};
  Client blind(io_, other);
  EXPECT_EQ(Asker(io_, blind).get_ep(alice_), Status::untrusted);
}

// --- servers that come and go --------------------------------------------------------------------------------------

TEST_F(ServerTest, EveryAddressIsTried) {
  start();
  Tcp::acceptor closed(io_, {asio::ip::address_v4::loopback(), 0});
  const auto nobody = to_string(to_address(closed.local_endpoint()));
  closed.close();
  Tcp::acceptor silent(io_, {asio::ip::address_v4::loopback(), 0});  // takes connections, says nothing
  auto several = config();
  several.servers = {nobody, to_string(to_address(silent.local_endpoint())), "no address", server_->address()};
  several.timeout = test_limit;
  Client client(io_, several);
  EXPECT_EQ(Asker(io_, client).get_ep(alice_), Status::not_found);

  several.servers = {nobody};
  Client lost(io_, several);
  EXPECT_EQ(Asker(io_, lost).get_ep(alice_), Status::unreachable);
  several.servers = {};
  Client nowhere(io_, several);
  EXPECT_EQ(Asker(io_, nowhere).get_ep(alice_), Status::unreachable);
  several.servers = {to_string(to_address(silent.local_endpoint()))};
  several.timeout = milliseconds(100);
  Client patient(io_, several);
  EXPECT_EQ(Asker(io_, patient).get_ep(alice_), Status::timed_out);
}

TEST_F(ServerTest, ARestartIsNoticedByNobody) {
  start();
  const auto port = server_->endpoint().port();
  Client client(io_, config());
  Asker ask(io_, client);
  ASSERT_EQ(ask.new_ep(alice_, key_, at(7), {v4(1, 1)}), Status::ok);
  server_.reset();
  start("127.0.0.1", port);
  EXPECT_EQ(ask.get_ep(alice_), Status::ok);
  EXPECT_EQ(ask.info, (EndpointInfo{7, key_.public_key(), {v4(1, 1)}, {}}));
  EXPECT_EQ(ask.change_ep(alice_, key_, at(8), {}), Status::ok);
  const auto ca = server_->ca().fingerprint();
  server_.reset();
  EXPECT_EQ(ask.get_ep(alice_), Status::unreachable);
  start("127.0.0.1", port);
  EXPECT_EQ(server_->ca().fingerprint(), ca);
  EXPECT_EQ(ask.get_ep(alice_), Status::ok);
  EXPECT_EQ(ask.info.generation, 8U);
}

}  // namespace
}  // namespace sessionfs::sns
