#include "engine/record.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "engine/bytes.hpp"
#include "engine/image.hpp"
#include "tests/engine/text.hpp"

namespace sessionfs::test {
namespace {

std::vector<std::byte> bytes_from(std::string_view text) {
  const auto bytes = bytes_of(text);
  return {bytes.begin(), bytes.end()};
}

std::string as_text(const std::vector<std::byte>& bytes) { return text_of({bytes, {}}); }

SessionRecord incoming() {
  SessionRecord session;
  session.image.id = SessionId{{9}};
  session.image.local = EndpointName::parse("storage@verkstad.net").value();
  session.image.peer = EndpointName::parse("alice@home.test").value();
  session.image.service = "file";
  session.image.file_name = "file~alice@home.test~12";
  session.image.accepted = true;
  session.image.generation = 17;
  session.image.sent = {10, 15, 0};
  session.image.source = 5;
  session.image.loaded = {.marks = {{16, 12}}, .acked = 9, .settled = false};
  session.image.received = {3, 6, 0};
  session.sent = bytes_from("hello");
  session.received = bytes_from("abc");
  return session;
}

SessionRecord outgoing() {
  SessionRecord session = incoming();
  session.image.creator = true;
  session.image.file_name = "file.alice@home.test~2";
  return session;
}

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
  record.sessions = {incoming(), outgoing()};
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
  ASSERT_EQ(copy->sessions.size(), 2U);
  EXPECT_EQ(encode(copy->sessions[0].image), encode(incoming().image));
  EXPECT_EQ(as_text(copy->sessions[0].sent), "hello");
  EXPECT_EQ(as_text(copy->sessions[1].received), "abc");
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
  constexpr std::size_t head_bytes = 22;  // magic 4, version 2, size 8, checksum 8
  const auto whole = encode(some_record());
  const std::vector<std::byte> body(whole.begin() + head_bytes, whole.end());
  for (std::size_t size = 0; size <= body.size() + 1; ++size) {
    auto changed = body;
    changed.resize(size);
    std::vector<std::byte> bytes(whole.begin(), whole.begin() + 6);
    ByteWriter out(bytes);
    out.number(std::uint64_t{size});
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
  record = some_record();
  record.generation = max_record_count + 1;
  EXPECT_FALSE(decode_endpoint_record(encode(record))) << "the next residence would begin anew";
  EXPECT_FALSE(decode_endpoint_record(std::vector<std::byte>(max_record_bytes + 1)));
}

TEST(Record, ASessionThatIsNotTheEndpointsIsNone) {
  const std::function<void(SessionImage&)> cases[] = {
      [](auto& image) { image.local = image.peer; },
      [](auto& image) { image.generation = 18; },
      [](auto& image) { image.attempt = max_record_count + 1; },
      [](auto& image) { image.sent.start = 1; },
      [](auto& image) { image.received.start = 1; },
      [](auto& image) { image.sent.written = max_record_count + 1; },
      [](auto& image) { image.received.held = image.received.read + max_kept_bytes + 1; },
      [](auto& image) { image.loaded.marks[0].written = image.sent.written + 1; },
      [](auto& image) { image.file_name = "."; },
      [](auto& image) { image.file_name = ".."; },
      [](auto& image) { image.file_name = "ctl"; },
      [](auto& image) { image.file_name = "file~alice@home.test~"; },
      [](auto& image) { image.file_name = "file~alice@home.test~1x"; },
      [](auto& image) { image.file_name = "file~alice@home.test~123456789012345678901"; },
      [](auto& image) { image.file_name = "file~bob@home.test~1"; },
      [](auto& image) { image.file_name = "print~alice@home.test~1"; },
      [](auto& image) { image.file_name = "file.alice@home.test"; },
      [](auto& image) { image.creator = true; },
  };
  std::size_t number = 0;
  for (const auto& change : cases) {
    EndpointRecord record = some_record();
    record.sessions = {incoming()};
    ASSERT_TRUE(decode_endpoint_record(encode(record)));
    change(record.sessions[0].image);
    EXPECT_FALSE(decode_endpoint_record(encode(record))) << "case " << number;
    ++number;
  }
  for (const char* name :
       {"file.bob@home.test", "print.alice@home.test", "File.alice@home.test", "file~alice@home.test~1"}) {
    EndpointRecord record = some_record();
    record.sessions = {outgoing()};
    record.sessions[0].image.file_name = name;
    EXPECT_FALSE(decode_endpoint_record(encode(record))) << name;
  }
}

TEST(Record, NoSessionIsThereTwice) {
  EndpointRecord record = some_record();
  record.sessions = {incoming(), incoming()};
  record.sessions[1].image.file_name = "file~alice@home.test~13";
  EXPECT_FALSE(decode_endpoint_record(encode(record))) << "one identifier";
  record.sessions[1] = incoming();
  record.sessions[1].image.id = SessionId{{10}};
  EXPECT_FALSE(decode_endpoint_record(encode(record))) << "one name";
  record.sessions[1].image.detached = true;
  EXPECT_TRUE(decode_endpoint_record(encode(record))) << "which is free again";
}

TEST(Record, BytesOfASessionThatAreMissingAreFound) {
  EndpointRecord record = some_record();
  record.sessions = {incoming()};
  record.sessions[0].received.pop_back();
  EXPECT_FALSE(decode_endpoint_record(encode(record)));
  record.sessions[0].received = bytes_from("abcd");
  EXPECT_FALSE(decode_endpoint_record(encode(record)));
}

// --- records of former versions: whatever comes, these can be loaded ------------------------------------------------

EndpointRecord kept_record(const std::string& name) {
  std::ifstream file(std::string(TEST_DATA_FOLDER) + "/" + name, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto record = decode_endpoint_record(bytes_of(text));
  EXPECT_TRUE(record) << name;
  return record.value_or(EndpointRecord{});
}

void expect_kept(const EndpointRecord& record) {
  EXPECT_EQ(record.name.str(), "storage@verkstad.net");
  EXPECT_EQ(record.generation, 17U);
  EXPECT_TRUE(record.private_key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_TRUE(record.private_key.ends_with("-----END PRIVATE KEY-----\n"));
  EXPECT_TRUE(record.certificate.starts_with("-----BEGIN CERTIFICATE-----\n"));
  EXPECT_TRUE(record.certificate.ends_with("-----END CERTIFICATE-----\n"));
  EXPECT_EQ(record.policy, "prefer eth* wlan*\nrequire speed>=1000\nstay\n");
  EXPECT_EQ(record.access, "allow file *@verkstad.net\ndeny * *\n");
  EXPECT_EQ(record.services, (std::vector<std::string>{"file", "print"}));
  const std::vector<Tombstone> tombstones{
      {SessionId{{1, 2}}, EndpointName::parse("alice@home.test").value(), true, 100, 200},
      {SessionId{{3}}, EndpointName::parse("bob@home.test").value(), false, 0, UINT64_MAX}};
  EXPECT_EQ(record.tombstones, tombstones);
}

TEST(Record, Version1) {
  const EndpointRecord record = kept_record("record-1");
  expect_kept(record);
  EXPECT_TRUE(record.sessions.empty());
}

TEST(Record, Version2) {
  const EndpointRecord record = kept_record("record-2");
  expect_kept(record);
  ASSERT_EQ(record.sessions.size(), 3U);
  const auto& [reading, sent, received] = record.sessions[0];
  EXPECT_EQ(reading.id, (SessionId{{0x10, 0x11, 0x12}}));
  EXPECT_EQ(reading.local, record.name);
  EXPECT_EQ(reading.peer.str(), "client@verkstad.net");
  EXPECT_EQ(reading.service, "file");
  EXPECT_EQ(reading.file_name, "file~client@verkstad.net~1");
  EXPECT_TRUE(reading.accepted);
  EXPECT_FALSE(reading.creator || reading.connecting || reading.detached || reading.suspended || reading.closed ||
               reading.end_acked || reading.peer_closed);
  EXPECT_EQ(reading.failure, Failure::none);
  EXPECT_EQ(reading.generation, 17U);
  EXPECT_EQ(reading.peer_generation, 4U);
  EXPECT_EQ(reading.attempt, 6U);
  EXPECT_EQ(reading.peer_attempt, 2U);
  EXPECT_EQ(reading.sent.acked, 1000U);
  EXPECT_EQ(reading.source, 4U);
  EXPECT_TRUE(reading.loaded.marks.empty());
  EXPECT_FALSE(reading.end || reading.peer_end);
  EXPECT_EQ(reading.received.read, 500U);
  EXPECT_EQ(as_text(sent), "sixteen bytes ..");
  EXPECT_EQ(as_text(received), "twenty bytes to read");

  const SessionImage& late = record.sessions[1].image;
  EXPECT_EQ(late.file_name, "print.office@example.com~late");
  EXPECT_TRUE(late.creator && late.suspended);
  EXPECT_EQ(late.sent.acked, 70U);
  ASSERT_EQ(late.loaded.marks.size(), 2U);
  EXPECT_EQ(late.loaded.marks[0].generation, 14U);
  EXPECT_EQ(late.loaded.marks[0].written, 72U);
  EXPECT_EQ(late.loaded.marks[1].generation, 15U);
  EXPECT_EQ(late.loaded.marks[1].written, 74U);
  EXPECT_EQ(late.loaded.acked, 64U);
  EXPECT_FALSE(late.loaded.settled);
  EXPECT_EQ(late.end, 75U);
  EXPECT_EQ(as_text(record.sessions[1].sent), "12345");

  const SessionImage& ending = record.sessions[2].image;
  EXPECT_EQ(ending.id, reading.id) << "the other side of one with itself has the same";
  EXPECT_TRUE(ending.detached && ending.peer_closed);
  EXPECT_EQ(ending.end, (std::uint64_t{1} << 32) + 3);
  EXPECT_EQ(ending.peer_end, 20U);
  EXPECT_EQ(as_text(record.sessions[2].sent), "end");
}

}  // namespace
}  // namespace sessionfs::test
