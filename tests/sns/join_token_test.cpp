#include "sns/join_token.hpp"

#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {
namespace {

JoinToken sample() {
  JoinToken token{"verkstad.net", {"10.77.0.3:4701", "[2001:db8::1]:4701", "sns.verkstad.net"}, {}, {}};
  for (std::size_t i = 0; i < token.ca.size(); ++i) token.ca[i] = static_cast<std::byte>(i * 7 + 1);
  for (std::size_t i = 0; i < token.secret.size(); ++i) token.secret[i] = static_cast<std::byte>(255 - i);
  return token;
}

TEST(JoinTokenTest, IsOneWordThatComesBackAsItWas) {
  const auto text = format(sample());
  EXPECT_TRUE(text.starts_with("sns1-"));
  EXPECT_EQ(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            std::string::npos);
  EXPECT_EQ(parse_join_token(text), sample());
  EXPECT_EQ(parse_join_token("  " + text + "\r\n"), sample());
}

TEST(JoinTokenTest, AllLengthsComeBack) {
  auto token = sample();
  for (int i = 0; i < 4; ++i) {
    token.domain += 'x';
    EXPECT_EQ(parse_join_token(format(token)), token);
  }
}

TEST(JoinTokenTest, EveryTruncationAndEveryMistypedLetterIsFound) {
  const auto text = format(sample());
  for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(parse_join_token(text.substr(0, size))) << size;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto wrong = text;
    wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(parse_join_token(wrong)) << i;
  }
  EXPECT_FALSE(parse_join_token(text + "A"));
  EXPECT_FALSE(parse_join_token(text + " " + text));
}

TEST(JoinTokenTest, WhatIsNoneIsRefused) {
  EXPECT_FALSE(parse_join_token(""));
  EXPECT_FALSE(parse_join_token("sns1-"));
  EXPECT_FALSE(parse_join_token("sns1-!!!!"));
  EXPECT_FALSE(parse_join_token(std::string(1'000'000, 'A')));
  auto token = sample();
  token.servers.clear();
  EXPECT_FALSE(parse_join_token(format(token)));
  token.servers.assign(max_token_servers + 1, "h");
  EXPECT_FALSE(parse_join_token(format(token)));
  token.servers = {"h:99999"};
  EXPECT_FALSE(parse_join_token(format(token)));
  token = sample();
  token.domain = "no domain";
  EXPECT_FALSE(parse_join_token(format(token)));
}

TEST(JoinTokenTest, SecretsAreKnownByTheirHash) {
  auto token = sample();
  const auto before = hash(token.secret);
  token.secret[0] ^= std::byte{1};
  EXPECT_NE(hash(token.secret), before);
}

TEST(ServerAddressTest, HostsAndPorts) {
  const auto expect = [](const char* text, const char* host, int port) {
    const auto server = parse_server(text);
    ASSERT_TRUE(server) << text;
    EXPECT_EQ(server->host, host);
    EXPECT_EQ(server->port, port);
  };
  expect("10.77.0.3:99", "10.77.0.3", 99);
  expect("10.77.0.3", "10.77.0.3", 4701);
  expect("sns.example.com:1", "sns.example.com", 1);
  expect("[::1]:5", "::1", 5);
  expect("[::]", "::", 4701);
  expect("2001:db8::1", "2001:db8::1", 4701);
  expect("h:0", "h", 0);
  for (const char* bad : {"", ":1", "h:", "h:x", "h:65536", "h:-1", "h: 1", "[::1", "[::1]5", "[h]:5", "a b:1", "h/x"})
    EXPECT_FALSE(parse_server(bad)) << bad;
  EXPECT_FALSE(parse_server(std::string(256, 'h')));
}

}  // namespace
}  // namespace sessionfs::sns
