#include "engine/image.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "engine/bytes.hpp"

namespace sessionfs::test {
namespace {

constexpr std::size_t capacity = 4096;

SessionImage some_image() {
  SessionImage image;
  image.id = SessionId{{9, 8, 7, 6, 5, 4, 3, 2, 1}};
  image.local = EndpointName::parse("bob@work.test").value();
  image.peer = EndpointName::parse("alice@home.test").value();
  image.service = "file";
  image.file_name = "file~alice@home.test~3";
  image.accepted = true;
  image.suspended = true;
  image.end_acked = true;
  image.source = 3;
  image.loaded = {.marks = {{1, 1050}}, .acked = 900, .settled = true};
  image.failure = Failure::lost;
  image.generation = 2;
  image.peer_generation = 3;
  image.attempt = 4;
  image.peer_attempt = 5;
  image.sent = {1000, 1100, 77};
  image.received = {2000, 2000 + capacity, 4095};
  image.end = 1100;
  return image;
}

std::optional<SessionImage> again(const SessionImage& image) { return decode_session_image(encode(image), capacity); }

TEST(Image, ComesBackAsItWas) {
  SessionImage image = some_image();
  for (int flags = 0; flags < 256; ++flags) {
    image.creator = flags & 1;
    image.accepted = flags & 2;
    image.detached = flags & 4;
    image.suspended = flags & 8;
    image.closed = flags & 16;
    image.end_acked = flags & 32;
    image.peer_closed = flags & 64;
    image.connecting = flags & 128;
    const auto copy = again(image);
    ASSERT_TRUE(copy);
    EXPECT_EQ(encode(*copy), encode(image));
    EXPECT_EQ(copy->creator, image.creator);
    EXPECT_EQ(copy->accepted, image.accepted);
    EXPECT_EQ(copy->detached, image.detached);
    EXPECT_EQ(copy->suspended, image.suspended);
    EXPECT_EQ(copy->closed, image.closed);
    EXPECT_EQ(copy->end_acked, image.end_acked);
    EXPECT_EQ(copy->peer_closed, image.peer_closed);
    EXPECT_EQ(copy->connecting, image.connecting);
  }
  const auto copy = again(some_image());
  EXPECT_EQ(copy->id, some_image().id);
  EXPECT_EQ(copy->local.str(), "bob@work.test");
  EXPECT_EQ(copy->peer.str(), "alice@home.test");
  EXPECT_EQ(copy->service, "file");
  EXPECT_EQ(copy->file_name, "file~alice@home.test~3");
  EXPECT_EQ(copy->failure, Failure::lost);
  EXPECT_EQ(copy->generation, 2U);
  EXPECT_EQ(copy->peer_generation, 3U);
  EXPECT_EQ(copy->attempt, 4U);
  EXPECT_EQ(copy->peer_attempt, 5U);
  EXPECT_EQ(copy->source, 3U);
  ASSERT_EQ(copy->loaded.marks.size(), 1U);
  EXPECT_EQ(copy->loaded.marks[0].generation, 1U);
  EXPECT_EQ(copy->loaded.marks[0].written, 1050U);
  EXPECT_EQ(copy->loaded.acked, 900U);
  EXPECT_TRUE(copy->loaded.settled);
  EXPECT_EQ(copy->sent.acked, 1000U);
  EXPECT_EQ(copy->sent.written, 1100U);
  EXPECT_EQ(copy->sent.start, 77U);
  EXPECT_EQ(copy->received.read, 2000U);
  EXPECT_EQ(copy->received.held, 2000U + capacity);
  EXPECT_EQ(copy->received.start, 4095U);
  EXPECT_EQ(copy->end, 1100U);
  EXPECT_FALSE(copy->peer_end);
}

TEST(Image, Version1IsKnownToo) {
  constexpr std::size_t residences_bytes = 8 + 1 + 8 + 1;  // the source, and that nothing was loaded
  SessionImage never_loaded = some_image();
  never_loaded.loaded = {};
  const auto whole = encode(never_loaded);
  std::vector<std::byte> former(whole.begin(), whole.end() - 8 - residences_bytes);
  former[5] = std::byte{1};
  const auto sum = checksum(former);
  ByteWriter(former).number(sum);
  const auto image = decode_session_image(former, capacity);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->end, 1100U);
  EXPECT_EQ(image->source, image->peer_generation);
  EXPECT_TRUE(image->loaded.marks.empty());
}

TEST(Image, EachLoadIsMarkedUntilThePeerGoesOn) {
  SessionImage image = some_image();
  image.loaded = {};
  image.end.reset();
  image.enter(2);
  EXPECT_TRUE(image.loaded.marks.empty()) << "the same residence";
  image.mark_loaded();
  image.sent.written = 1200;
  image.mark_loaded();
  ASSERT_EQ(image.loaded.marks.size(), 1U);
  EXPECT_EQ(image.loaded.marks[0].generation, 2U);
  EXPECT_EQ(image.loaded.marks[0].written, 1100U) << "the smaller end";
  EXPECT_EQ(image.loaded.acked, 1000U);
  for (std::uint64_t generation = 3; generation < 9; ++generation) {
    image.enter(generation);
    ++image.sent.written;
  }
  EXPECT_EQ(image.generation, 8U);
  ASSERT_EQ(image.loaded.marks.size(), max_loaded_marks) << "the first and the last ones";
  EXPECT_EQ(image.loaded.marks[0].generation, 2U);
  EXPECT_EQ(image.loaded.marks[1].generation, 5U);
  EXPECT_EQ(image.loaded.marks.back().generation, 7U);
  EXPECT_TRUE(again(image));
  image.loaded.settled = true;
  image.sent.acked = 1150;
  image.enter(9);
  ASSERT_EQ(image.loaded.marks.size(), 1U);
  EXPECT_EQ(image.loaded.marks[0].generation, 8U);
  EXPECT_EQ(image.loaded.acked, 1000U) << "with whom the peer has gone on a copy of it may not know";
}

TEST(Image, WhatWasSupersededIsOpenAtANewResidence) {
  SessionImage image = some_image();
  image.closed = true;
  image.enter(3);
  EXPECT_TRUE(image.closed) << "lost is lost";
  image.failure = Failure::superseded;
  image.enter(4);
  EXPECT_FALSE(image.closed);
  EXPECT_EQ(image.failure, Failure::none);
}

TEST(Image, DamageOfAnyByteIsFound) {
  const auto whole = encode(some_image());
  for (std::size_t i = 0; i < whole.size(); ++i)
    for (const int bits : {1, 0x80, 0xff}) {
      auto damaged = whole;
      damaged[i] ^= static_cast<std::byte>(bits);
      EXPECT_FALSE(decode_session_image(damaged, capacity)) << "byte " << i;
    }
}

TEST(Image, EveryOtherLengthIsNone) {
  auto bytes = encode(some_image());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_session_image(std::span(bytes).first(size), capacity)) << size;
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(decode_session_image(bytes, capacity));
}

// Whose checksum is right: what is wrong was written so.
TEST(Image, OneThatEndsTooEarlyOrHasAnotherHeadIsNone) {
  const auto whole = encode(some_image());
  const std::vector<std::byte> body(whole.begin(), whole.end() - 8);
  const auto accepted = [](std::vector<std::byte> bytes) {
    const auto sum = checksum(bytes);
    ByteWriter(bytes).number(sum);
    return decode_session_image(bytes, capacity).has_value();
  };
  EXPECT_TRUE(accepted(body));
  for (std::size_t size = 0; size < body.size(); ++size)
    EXPECT_FALSE(accepted(std::vector<std::byte>(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size))));
  for (const std::size_t at : {0U, 5U}) {
    auto changed = body;
    changed[at] ^= std::byte{8};
    EXPECT_FALSE(accepted(changed)) << at;
  }
}

TEST(Image, WhatCannotBeIsRefused) {
  const std::function<void(SessionImage&)> cases[] = {
      [](auto& image) {
        image.sent = {11, 10, 0};
      },
      [](auto& image) {
        image.sent = {0, capacity + 1, 0};
      },
      [](auto& image) {
        image.sent = {0, 0, capacity};
      },
      [](auto& image) {
        image.received = {11, 10, 0};
      },
      [](auto& image) {
        image.received = {0, capacity + 1, 0};
      },
      [](auto& image) {
        image.received = {0, 0, capacity};
      },
      // Sums of such offsets and a buffer's size would go round.
      [](auto& image) {
        image.sent = {UINT64_MAX - 10, UINT64_MAX - 5, 0};
      },
      [](auto& image) {
        image.received = {UINT64_MAX - 20, UINT64_MAX - 20, 0};
      },
      [](auto& image) { image.end = image.sent.written - 1; },
      [](auto& image) { image.end = image.sent.written + 1; },
      [](auto& image) { image.peer_end = image.received.held - 1; },
      [](auto& image) { image.failure = static_cast<Failure>(12); },
      [](auto& image) { image.local = EndpointName(); },
      [](auto& image) { image.peer = EndpointName(); },
      [](auto& image) { image.service = "not.one"; },
      [](auto& image) { image.file_name = std::string(max_file_name_bytes + 1, 'x'); },
      [](auto& image) { image.file_name = "../../etc"; },
      [](auto& image) { image.file_name = "file\n"; },
      [](auto& image) { image.file_name = ""; },
      [](auto& image) { image.file_name = ".."; },
      [](auto& image) { image.loaded.acked = image.sent.acked + 1; },
      [](auto& image) { image.loaded.marks[0].written = image.sent.written + 1; },
      [](auto& image) { image.loaded.marks[0].generation = image.generation + 1; },
      [](auto& image) {
        image.loaded.marks = {{1, 2}, {2, 1}};
      },
      [](auto& image) { image.loaded.marks.resize(max_loaded_marks + 1, image.loaded.marks[0]); },
  };
  std::size_t number = 0;
  for (const auto& change : cases) {
    SessionImage image = some_image();
    image.end.reset();  // which would be wrong with most of the changes, whatever else is
    image.loaded = {.marks = {{1, 0}}, .acked = 0, .settled = true};
    ASSERT_TRUE(again(image));
    change(image);
    EXPECT_FALSE(again(image)) << "case " << number;
    ++number;
  }
}

TEST(Image, AnEndMayLieWhereAllIsThere) {
  SessionImage image = some_image();
  image.end = image.sent.written;
  image.peer_end = image.received.held;
  EXPECT_TRUE(again(image));
}

TEST(Image, TheLargestFitsItsBound) {
  const std::string domain = std::string(63, 'b') + "." + std::string(63, 'c') + "." + std::string(8, 'd');
  SessionImage image = some_image();
  image.local = image.peer = EndpointName::parse(std::string(63, 'a') + "@" + domain).value();
  image.service = std::string(max_service_bytes, 's');
  image.file_name = std::string(max_file_name_bytes, 'f');
  image.end = image.sent.written;
  image.peer_end = UINT64_MAX;
  image.loaded.marks.resize(max_loaded_marks, image.loaded.marks[0]);
  EXPECT_LE(encode(image).size(), max_image_bytes);
  EXPECT_TRUE(again(image));
}

}  // namespace
}  // namespace sessionfs::test
