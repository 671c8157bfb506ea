#include "engine/record.hpp"

#include <gtest/gtest.h>

#include "engine/bytes.hpp"
#include "engine/image.hpp"

namespace sessionfs::test {
namespace {

EndpointRecord some_record() {
  EndpointRecord record;
  record.name = EndpointName::parse("storage@verkstad.net").value();
  record.generation = 17;
  record.private_key = "-----BEGIN PRIVATE KEY-----\n...";
  record.certificate = "-----BEGIN CERTIFICATE-----\n...";
  record.policy = "prefer eth*\n";
  record.access = "allow file *@verkstad.net\n";
  record.services = {"file", "print"};
  record.tombstones.push_back({SessionId{{1, 2}}, EndpointName::parse("alice@home.test").value(), true, 100, 200});
  record.tombstones.push_back({SessionId{{3}}, EndpointName::parse("bob@home.test").value(), false, 0, UINT64_MAX});
  return record;
}

TEST(Record, ComesBackAsItWas) {
  const auto copy = decode_endpoint_record(encode(some_record()));
  ASSERT_TRUE(copy);
  EXPECT_EQ(encode(*copy), encode(some_record()));
  EXPECT_EQ(copy->name.str(), "storage@verkstad.net");
  EXPECT_EQ(copy->generation, 17U);
  EXPECT_EQ(copy->private_key, some_record().private_key);
  EXPECT_EQ(copy->certificate, some_record().certificate);
  EXPECT_EQ(copy->policy, "prefer eth*\n");
  EXPECT_EQ(copy->access, "allow file *@verkstad.net\n");
  EXPECT_EQ(copy->services, some_record().services);
  ASSERT_EQ(copy->tombstones.size(), 2U);
  EXPECT_EQ(copy->tombstones[0].id, (SessionId{{1, 2}}));
  EXPECT_EQ(copy->tombstones[0].peer.str(), "alice@home.test");
  EXPECT_TRUE(copy->tombstones[0].creator);
  EXPECT_EQ(copy->tombstones[0].held, 100U);
  EXPECT_EQ(copy->tombstones[1].end, UINT64_MAX);
}

TEST(Record, AnEmptyOneToo) {
  EndpointRecord record;
  record.name = EndpointName::parse("a@b").value();
  EXPECT_TRUE(decode_endpoint_record(encode(record)));
  record.name = {};
  EXPECT_FALSE(decode_endpoint_record(encode(record))) << "without a name it is none";
}

TEST(Record, DamageOfAnyByteAndAnyTruncationIsFound) {
  const auto whole = encode(some_record());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    auto damaged = whole;
    damaged[i] ^= std::byte{0x10};
    EXPECT_FALSE(decode_endpoint_record(damaged)) << "byte " << i;
    EXPECT_FALSE(decode_endpoint_record(std::span(whole).first(i))) << "cut to " << i;
  }
}

TEST(Record, WhatIsBehindItIsIgnored) {
  auto padded = encode(some_record());
  padded.resize(padded.size() + 511);
  EXPECT_TRUE(decode_endpoint_record(padded));
}

// Whose checksum is right: what is wrong was written so.
TEST(Record, OneThatEndsTooEarlyOrTooLateIsNone) {
  constexpr std::size_t head_bytes = 18;  // magic 4, version 2, size 4, checksum 8
  const auto whole = encode(some_record());
  const std::vector<std::byte> body(whole.begin() + head_bytes, whole.end());
  for (std::size_t size = 0; size <= body.size() + 1; ++size) {
    auto changed = body;
    changed.resize(size);
    std::vector<std::byte> bytes(whole.begin(), whole.begin() + 6);
    ByteWriter out(bytes);
    out.number(static_cast<std::uint32_t>(size));
    out.number(checksum(changed));
    out.raw(changed);
    EXPECT_EQ(decode_endpoint_record(bytes).has_value(), size == body.size()) << size;
  }
}

TEST(Record, BoundsAreKept) {
  EndpointRecord record = some_record();
  record.private_key.assign(max_key_bytes + 1, 'x');
  EXPECT_FALSE(decode_endpoint_record(encode(record)));
  record = some_record();
  record.access.assign(max_rules_bytes + 1, '\n');
  EXPECT_FALSE(decode_endpoint_record(encode(record)));
  record = some_record();
  record.tombstones.resize(max_tombstones + 1, record.tombstones[0]);
  EXPECT_FALSE(decode_endpoint_record(encode(record)));
  record = some_record();
  record.services = {"not.one"};
  EXPECT_FALSE(decode_endpoint_record(encode(record)));
  EXPECT_FALSE(decode_endpoint_record(std::vector<std::byte>(max_record_bytes + 1)));
}

}  // namespace
}  // namespace sessionfs::test
