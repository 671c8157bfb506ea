// DNS servers that answer with nonsense, and the reading and the order of SRV records.
#include <algorithm>
#include <array>
#include <map>

#include "sns/srv.hpp"
#include "tests/sns/dns_fixture.hpp"

namespace sessionfs::sns {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

using DnsBytes = std::vector<std::uint8_t>;

void put_u16(DnsBytes& to, std::size_t value) {
  to.push_back(static_cast<std::uint8_t>(value >> 8));
  to.push_back(static_cast<std::uint8_t>(value));
}

DnsBytes dns_name(std::string_view name) {
  DnsBytes bytes;
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    bytes.push_back(static_cast<std::uint8_t>(label.size()));
    bytes.insert(bytes.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  bytes.push_back(0);
  return bytes;
}

// The header and the question of an answer to `query`.
DnsBytes answer_head(const DnsBytes& query, std::size_t answers, std::uint8_t flags = 0) {
  std::size_t end = 12;
  while (query.at(end) != 0) end += query[end] + 1U;
  DnsBytes bytes(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(end + 5));
  bytes[2] = static_cast<std::uint8_t>(0x81U | flags);
  bytes[3] = 0x80;
  bytes[6] = static_cast<std::uint8_t>(answers >> 8);
  bytes[7] = static_cast<std::uint8_t>(answers);
  std::fill(bytes.begin() + 8, bytes.begin() + 12, std::uint8_t{0});
  return bytes;
}

void put_record(DnsBytes& to, std::size_t type, const DnsBytes& data, std::size_t length, std::uint32_t ttl = 60) {
  put_u16(to, 0xc00c);
  put_u16(to, type);
  put_u16(to, 1);
  put_u16(to, ttl >> 16);
  put_u16(to, ttl & 0xffffU);
  put_u16(to, length);
  to.insert(to.end(), data.begin(), data.end());
}

DnsBytes srv_data(std::size_t priority, std::size_t port, const DnsBytes& target) {
  DnsBytes data;
  put_u16(data, priority);
  put_u16(data, 0);
  put_u16(data, port);
  data.insert(data.end(), target.begin(), target.end());
  return data;
}

void put_srv(DnsBytes& to, std::size_t priority, std::size_t port, const DnsBytes& target) {
  const auto data = srv_data(priority, port, target);
  put_record(to, 33, data, data.size());
}

class BadDnsTest : public DnsTest {
 protected:
  using Answer = std::function<std::vector<DnsBytes>(const DnsBytes& query)>;

  BadDnsTest() {
    dns("127.0.0.1:" + std::to_string(socket_.local_endpoint().port()));
    receive();
  }
  // Everything that can be answered is to be answered at once: nothing here waits for a limit, but where `silent`.
  Status answered(Answer answer, bool silent = false) {
    answer_ = std::move(answer);
    if (silent) {
      config_.lookup_limit = std::chrono::milliseconds(300);
      dns(config_.servers[0]);
    }
    return (found_ = servers("verkstad.net")).status;
  }
  static bool asks_srv(const DnsBytes& query) { return type(query) == 33; }
  static std::size_t type(const DnsBytes& query) {
    std::size_t end = 12;
    while (query.at(end) != 0) end += query[end] + 1U;
    return query.at(end + 2);
  }
  Dns::Found found_;
  std::size_t asked_ = 0;

 private:
  void receive() {
    socket_.async_receive_from(asio::buffer(buffer_), from_, [this](auto error, std::size_t bytes) {
      if (error) return;
      ++asked_;
      for (const auto& reply : answer_({buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(bytes)})) {
        socket_.send_to(asio::buffer(reply), from_);
      }
      receive();
    });
  }
  udp::socket socket_{io_, {asio::ip::address_v4::loopback(), 0}};
  udp::endpoint from_;
  std::array<std::uint8_t, 2048> buffer_{};
  Answer answer_;
};

TEST_F(BadDnsTest, AnAnswerThatIsWellFormed) {
  EXPECT_EQ(answered([](const DnsBytes& query) -> std::vector<DnsBytes> {
              auto reply = answer_head(query, 1);
              if (asks_srv(query)) put_srv(reply, 0, 4701, dns_name("a.net"));
              if (type(query) == 1) put_record(reply, 1, {10, 0, 0, 1}, 4);
              if (type(query) == 28) reply[7] = 0;
              return {reply};
            }),
            Status::ok);
  EXPECT_THAT(found_.servers, ElementsAre(at_address("10.0.0.1", 4701)));
  EXPECT_EQ(found_.lifetime, std::chrono::seconds(60));
}

TEST_F(BadDnsTest, CutOffAnywhereItIsUnreachable) {
  std::size_t cut = 0;
  std::size_t whole = 0;
  const auto answer = [&](const DnsBytes& query) -> std::vector<DnsBytes> {
    auto reply = answer_head(query, asks_srv(query) ? 2 : 0);
    if (!asks_srv(query)) {
      reply[3] |= 3U;  // no such name
      return {reply};
    }
    put_srv(reply, 0, 4701, dns_name("b.net"));
    put_srv(reply, 0, 4701, dns_name("a.net"));
    whole = reply.size();
    reply.resize(whole - cut);
    return {reply};
  };
  EXPECT_EQ(answered(answer), Status::not_found) << "whole";
  const std::size_t records = 2 * srv_data(0, 4701, dns_name("a.net")).size() + 2 * 12;
  for (cut = 1; cut <= records; ++cut) EXPECT_EQ(answered(answer), Status::unreachable) << cut << " of " << whole;
}

TEST_F(BadDnsTest, NonsenseInAnAnswerIsUnreachable) {
  const std::map<std::string, std::function<void(DnsBytes&)>> replies{
      {"a name that points to itself",
       [](DnsBytes& to) {
         put_srv(to, 0, 4701, {0xc0, static_cast<std::uint8_t>(to.size() + 18)});
       }},
      {"a name that points beyond the end",
       [](DnsBytes& to) {
         put_srv(to, 0, 4701, {0xff, 0xff});
       }},
      {"a label of a kind that is not there",
       [](DnsBytes& to) {
         put_srv(to, 0, 4701, {0x80, 1, 0});
       }},
      {"a record longer than the message",
       [](DnsBytes& to) { put_record(to, 33, srv_data(0, 1, dns_name("a.net")), 500); }},
      {"a record longer than its target", [](DnsBytes& to) { put_record(to, 33, DnsBytes(100), 100); }},
      {"a record shorter than its target",
       [](DnsBytes& to) { put_record(to, 33, srv_data(0, 1, dns_name("a.net")), 8); }},
      {"an empty record", [](DnsBytes& to) { put_record(to, 33, {}, 0); }},
      {"no port", [](DnsBytes& to) { put_srv(to, 0, 0, dns_name("a.net")); }},
      {"a target that is no host's name", [](DnsBytes& to) { put_srv(to, 0, 4701, dns_name("a b.net")); }},
      {"a target with a zero inside",
       [](DnsBytes& to) {
         put_srv(to, 0, 4701, {3, 'a', 0, 'b', 0});
       }},
      {"an address in its place, cut off",
       [](DnsBytes& to) {
         put_record(to, 1, {10, 0}, 4);
       }},
  };
  for (const auto& [what, spoil] : replies) {
    const auto& put = spoil;  // clang 14 captures no structured bindings
    EXPECT_EQ(answered([&](const DnsBytes& query) -> std::vector<DnsBytes> {
                auto reply = answer_head(query, 1);
                put(reply);
                return {reply};
              }),
              Status::unreachable)
        << what;
  }
}

TEST_F(BadDnsTest, ErrorsOfTheServerAreUnreachable) {
  for (const unsigned code : {1U, 2U, 4U, 5U}) {  // RFC 1035, 4.1.1; 3 is: no such name
    EXPECT_EQ(answered([&](const DnsBytes& query) -> std::vector<DnsBytes> {
                auto reply = answer_head(query, 0);
                reply[3] = static_cast<std::uint8_t>(0x80U | code);
                return {reply};
              }),
              Status::unreachable)
        << code;
  }
}

TEST_F(BadDnsTest, WhatIsNoAnswerToTheQuestionDoesNotCount) {
  EXPECT_EQ(answered(
                [](const DnsBytes& query) -> std::vector<DnsBytes> {
                  auto wrong_id = answer_head(query, 1);
                  wrong_id[0] ^= 0xff;
                  put_srv(wrong_id, 0, 4701, dns_name("a.net"));
                  return {{}, {0}, DnsBytes(11, 0xff), DnsBytes(1200, 0xff), wrong_id};
                },
                true),
            Status::unreachable);
  // And does not keep the true one out.
  EXPECT_EQ(answered([](const DnsBytes& query) -> std::vector<DnsBytes> {
              auto wrong_id = answer_head(query, 1);
              wrong_id[0] ^= 0xff;
              auto none = answer_head(query, 0);
              none[3] = 0x83;
              return {{0}, wrong_id, none};
            }),
            Status::not_found);
}

TEST_F(BadDnsTest, CutShortWithoutTcpIsUnreachable) {
  EXPECT_EQ(answered([](const DnsBytes& query) -> std::vector<DnsBytes> { return {answer_head(query, 0, 2)}; }),
            Status::unreachable);
}

TEST_F(BadDnsTest, NonsenseForAnAddressIsUnreachable) {
  EXPECT_EQ(answered([](const DnsBytes& query) -> std::vector<DnsBytes> {
              auto reply = answer_head(query, 1);
              if (asks_srv(query)) {
                put_srv(reply, 0, 4701, dns_name("a.net"));
              } else {
                put_record(reply, type(query), {10}, 100);
              }
              return {reply};
            }),
            Status::unreachable);
}

TEST_F(BadDnsTest, HoweverManyRecordsFewAreTaken) {
  EXPECT_EQ(answered([](const DnsBytes& query) -> std::vector<DnsBytes> {
              const std::size_t many = 38;  // as many as fit into a packet
              auto reply = answer_head(query, many);
              for (std::size_t i = 0; i < many; ++i) {
                if (asks_srv(query)) put_srv(reply, i, 4701 + i, {0xc0, 0x16});  // "verkstad.net" in the question
                if (type(query) == 1) put_record(reply, 1, {10, 0, 0, static_cast<std::uint8_t>(i + 1)}, 4);
                if (type(query) == 28) {
                  DnsBytes address(16, 0xfd);
                  address[15] = static_cast<std::uint8_t>(i);
                  put_record(reply, 28, address, 16);
                }
              }
              return {reply};
            }),
            Status::ok);
  EXPECT_EQ(found_.servers.size(), max_server_addresses);
  EXPECT_LE(asked_, 1 + 2 * max_srv_targets);
}

TEST_F(BadDnsTest, AddressesOfNobodyAreNotTaken) {
  EXPECT_EQ(answered([](const DnsBytes& query) -> std::vector<DnsBytes> {
              if (asks_srv(query)) return {answer_head(query, 0)};
              auto reply = answer_head(query, type(query) == 1 ? 2 : 0);
              if (type(query) == 1) {
                put_record(reply, 1, {0, 0, 0, 0}, 4);
                put_record(reply, 1, {224, 0, 0, 1}, 4);
              }
              return {reply};
            }),
            Status::not_found);
}

TEST(SrvAnswerTest, WhateverIsInsideIsReadOrRefused) {
  DnsBytes query(12);
  const auto name = dns_name("_sns._tcp.verkstad.net");
  query.insert(query.end(), name.begin(), name.end());
  query.insert(query.end(), {0, 33, 0, 1});
  query[5] = 1;
  auto message = answer_head(query, 3);
  put_record(message, 5, dns_name("alias.net"), dns_name("alias.net").size(), 30);
  put_srv(message, 1, 4701, dns_name("A.net"));
  put_srv(message, 2, 4702, {0xc0, 0x16});
  const auto parsed = parse_srv_answer(message);
  ASSERT_TRUE(parsed);
  EXPECT_THAT(parsed->records, ElementsAre(SrvRecord{1, 0, 4701, "a.net"}, SrvRecord{2, 0, 4702, "verkstad.net"}));
  EXPECT_EQ(parsed->ttl, std::chrono::seconds(30));
  std::mt19937_64 random(1);
  for (int i = 0; i < 50'000; ++i) {
    auto changed = message;
    for (auto changes = random() % 4; changes > 0; --changes) {
      changed[random() % changed.size()] = static_cast<std::uint8_t>(random());
    }
    changed.resize(changed.size() - (random() % 8 == 0 ? random() % changed.size() : 0));
    const auto read = parse_srv_answer(changed);
    if (!read) continue;
    EXPECT_LE(read->records.size(), 3U);
    for (const auto& one : read->records) EXPECT_FALSE(one.target.empty() || one.port == 0);
  }
}

// --- the order of SRV records (RFC 2782) -------------------------------------------------------------------------

SrvRecord srv_record(std::uint16_t priority, std::uint16_t weight, const char* target) {
  return {priority, weight, 4701, target};
}

TEST(SrvOrder, PriorityThenWeight) {
  std::mt19937_64 random(1);
  std::map<std::string, int> first;
  const int rounds = 10'000;
  for (int i = 0; i < rounds; ++i) {
    const auto ordered = in_order({srv_record(2, 65535, "late"), srv_record(1, 10, "a"), srv_record(1, 30, "b"),
                                   srv_record(1, 0, "c"), srv_record(0, 0, "early")},
                                  random);
    ASSERT_EQ(ordered.size(), 5U);
    ASSERT_EQ(ordered.front().target, "early");
    ASSERT_EQ(ordered.back().target, "late");
    ++first[ordered[1].target];
  }
  EXPECT_NEAR(first["b"], rounds * 30 / 41, rounds / 50);
  EXPECT_NEAR(first["a"], rounds * 10 / 41, rounds / 50);
  EXPECT_GT(first["c"], 0) << "no weight: seldom, not never";
}

TEST(SrvOrder, NoneAndOne) {
  std::mt19937_64 random(1);
  EXPECT_TRUE(in_order({}, random).empty());
  EXPECT_EQ(in_order({srv_record(0, 0, "a")}, random).size(), 1U);
  EXPECT_THAT(in_order({srv_record(0, 65535, "a"), srv_record(0, 65535, "b")}, random),
              UnorderedElementsAre(srv_record(0, 65535, "a"), srv_record(0, 65535, "b")));
}

}  // namespace
}  // namespace sessionfs::sns
