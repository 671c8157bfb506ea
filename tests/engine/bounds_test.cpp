// What names, records and hosts take at most.
#include "engine/policy.hpp"
#include "engine/record.hpp"
#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

TEST(Bounds, OnlyPrintableCharactersStandInRulesAndFileNames) {
  EXPECT_TRUE(std::holds_alternative<Access>(Access::parse("allow file ~")));
  EXPECT_TRUE(std::holds_alternative<RuleError>(Access::parse("allow file \x7f")));
  SessionImage image;
  image.local = name_of("bob@work.test");
  image.peer = name_of("alice@home.test");
  image.service = "file";
  image.file_name = "file~";
  EXPECT_TRUE(decode_session_image(encode(image), RawHost::capacity_bytes));
  image.file_name = "file\x7f";
  EXPECT_FALSE(decode_session_image(encode(image), RawHost::capacity_bytes));
}

TEST(Bounds, ASpeedIsAWholeNumber) {
  EXPECT_FALSE(check_policy("require speed>=10"));
  EXPECT_TRUE(check_policy("require speed>=1.5"));
  EXPECT_TRUE(check_policy("require speed>=1:5"));
}

TEST(Bounds, ARecordHasNamedPeersAndNotTooManyServices) {
  EndpointRecord record;
  record.name = name_of("bob@work.test");
  record.services.assign(max_record_services, "s");
  record.tombstones.push_back({SessionId{{1}}, name_of("alice@home.test"), true, 1, 2});
  EXPECT_TRUE(decode_endpoint_record(encode(record)));
  record.services.emplace_back("s");
  EXPECT_FALSE(decode_endpoint_record(encode(record)));
  record.services.clear();
  record.tombstones[0].peer = {};
  EXPECT_FALSE(decode_endpoint_record(encode(record)));
}

TEST(Bounds, BehindSoManyPeersNumberingStartsAgainAtTheFirstFreeOne) {
  Endpoint endpoint;
  const EndpointName alice = name_of("alice@home.test");
  EXPECT_EQ(endpoint.new_session_name("file", alice), "file~alice@home.test~1");
  EXPECT_EQ(endpoint.new_session_name("file", alice), "file~alice@home.test~2");
  for (std::size_t i = 1; i < max_numbered_peers; ++i) (void)endpoint.new_session_name(std::to_string(i), alice);
  endpoint.sessions["file~alice@home.test~1"] = nullptr;  // which is still there
  EXPECT_EQ(endpoint.new_session_name("file", alice), "file~alice@home.test~2");
}

TEST(Bounds, AHostHasSoManySessionsAndNoMore) {
  RawHost t;
  Endpoint& bob = *t.host->find_endpoint(t.bob);
  SessionImage image;
  image.local = t.bob;
  image.peer = t.mallory;
  image.service = "file";
  image.accepted = true;
  image.suspended = true;  // no connection, no timer
  const auto restore = [&](std::size_t number) {
    image.id = SessionId{{static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                          static_cast<std::uint8_t>(number)}};
    image.file_name = std::to_string(number);
    constexpr std::size_t bytes = 16;
    t.with([&](Host& host) {
      host.restore(bob, image, {std::make_unique<HeapMemory>(bytes), std::make_unique<HeapMemory>(bytes)}, 1, t.now);
    });
  };
  const auto answer = [&](std::uint8_t number) {
    const ConnId conn = t.incoming(t.alice);
    Connect connect = t.connect_message();
    connect.id = SessionId{{0xff, number}};
    t.feed(conn, connect);
    return conn;
  };
  for (std::size_t i = 0; i < max_sessions - 1; ++i) restore(i);
  EXPECT_NE(t.last<ConnectOk>(answer(1)), nullptr) << "one more has room";
  const ConnId refused = answer(2);
  ASSERT_NE(t.last<ConnectDenied>(refused), nullptr);
  EXPECT_EQ(t.last<ConnectDenied>(refused)->reason, ConnectDenial::backlog_full);
  EXPECT_EQ(t.host->connect(bob, DialName::parse("file.alice@home.test").value(), t.id, 1, t.now), nullptr);
}

}  // namespace
}  // namespace sessionfs::test
