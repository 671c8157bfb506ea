#include "engine/wire.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cctype>
#include <functional>
#include <string>
#include <vector>

#include "engine/bytes.hpp"

namespace sessionfs::test {
namespace {

using Bytes = std::vector<std::byte>;

const std::vector<Message>& every_message() {
  static const SessionId id{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255}};
  static const Progress progress{0x0102030405060708, 0xfffffffffffffffe, true, false};
  static const std::vector<Message> messages{Connect{protocol_version, id, 7, 1 << 20, "file"},
                                             Connect{9, id, 0, UINT64_MAX, std::string(max_service_bytes, 'x')},
                                             ConnectOk{7, 99, 3},
                                             ConnectDenied{ConnectDenial::version},
                                             Checkpoint{progress},
                                             Checkpoint{{0, 0, true, true}},
                                             Finish{12345},
                                             Close{UINT64_MAX},
                                             Suspend{},
                                             Resume{protocol_version, id, 3, 4, true, progress, UINT64_MAX},
                                             Resume{protocol_version, id, 3, 4, false, {5, 6, true, true}},
                                             ResumeOk{3, 11, progress, 9},
                                             ResumeDenied{ResumeDenial::version, 1, 2, 5},
                                             Ping{},
                                             Abort{},
                                             Handoff{protocol_version, 8},
                                             HandoffOk{7, UINT64_MAX},
                                             HandoffDenied{HandoffDenial::busy, 7},
                                             HandoffDenied{HandoffDenial::version, 0},
                                             HandoffTaken{}};
  return messages;
}

Bytes frame_of(const Message& message) {
  const Frame frame(message);
  return {frame.bytes().begin(), frame.bytes().end()};
}

Bytes data_frame(std::uint64_t offset, std::string_view text) {
  const auto header = data_header(offset, text.size());
  Bytes bytes(header.begin(), header.end());
  const auto body = std::as_bytes(std::span(text));
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

// What a reader makes of bytes that come in pieces: the control frames again as bytes, and the data.
struct Collected {
  std::vector<Bytes> messages;
  std::string data;
  std::uint64_t next_offset = 0;
  bool violated = false;

  void feed(FrameReader& reader, std::span<const std::byte> piece) {
    while (!violated) {
      const auto event = reader.next(piece);
      if (std::holds_alternative<FrameReader::NeedMore>(event)) {
        EXPECT_TRUE(piece.empty());
        return;
      }
      if (const auto* message = std::get_if<Message>(&event)) messages.push_back(frame_of(*message));
      if (const auto* part = std::get_if<FrameReader::DataPart>(&event)) {
        EXPECT_FALSE(part->bytes.empty());
        next_offset = part->offset + part->bytes.size();
        data.append(reinterpret_cast<const char*>(part->bytes.data()), part->bytes.size());
      }
      violated = std::holds_alternative<FrameReader::Violation>(event);
    }
  }
};

TEST(Wire, EveryMessageComesBackAsItWas) {
  for (const auto& message : every_message()) {
    const Bytes bytes = frame_of(message);
    EXPECT_LE(bytes.size(), Frame::max_bytes);
    FrameReader reader;
    std::span<const std::byte> input(bytes);
    const auto event = reader.next(input);
    ASSERT_TRUE(std::holds_alternative<Message>(event)) << message.index();
    EXPECT_TRUE(input.empty());
    EXPECT_EQ(std::get<Message>(event).index(), message.index());
    EXPECT_EQ(frame_of(std::get<Message>(event)), bytes) << message.index();
  }
}

TEST(Wire, FieldsLieWhereTheProtocolSays) {
  const Bytes bytes = frame_of(Resume{1, SessionId{{0xaa}}, 2, 3, true, {4, 5, true, false}, 6});
  EXPECT_EQ(load_big_endian<std::uint32_t>(std::span(bytes).first(4)),
            9U << 24 | (2U + 16 + 8 + 8 + 1 + 8 + 8 + 1 + 8));
  EXPECT_EQ(std::to_integer<int>(bytes[5]), 1);
  EXPECT_EQ(std::to_integer<int>(bytes[6]), 0xaa);
  EXPECT_EQ(std::to_integer<int>(bytes[bytes.size() - 9]), 1);
  EXPECT_EQ(std::to_integer<int>(bytes.back()), 6);
  const auto header = data_header(0x1122334455667788, 256);
  EXPECT_EQ(load_big_endian<std::uint32_t>(std::span(header).first(4)), 4U << 24 | 264U);
  EXPECT_EQ(load_big_endian<std::uint64_t>(std::span(header).subspan(4)), 0x1122334455667788U);
}

TEST(Wire, WhoHasTheCloseNeedNotHaveAllBeforeIt) {
  const Bytes frame = frame_of(Checkpoint{{0, 0, true, true}});
  Bytes payload(frame.begin() + frame_header_bytes, frame.end());
  EXPECT_TRUE(decode(MessageType::checkpoint, payload));
  payload.back() = std::byte{2};
  const auto close_alone = decode(MessageType::checkpoint, payload);
  ASSERT_TRUE(close_alone);
  EXPECT_EQ(std::get<Checkpoint>(*close_alone).progress, (Progress{0, 0, false, true}));
  payload.back() = std::byte{4};
  EXPECT_FALSE(decode(MessageType::checkpoint, payload));
}

TEST(Wire, APayloadOfAnyOtherLengthIsNone) {
  for (const auto& message : every_message()) {
    const Bytes bytes = frame_of(message);
    const auto type = static_cast<MessageType>(bytes[0]);
    Bytes payload(bytes.begin() + frame_header_bytes, bytes.end());
    EXPECT_TRUE(decode(type, payload));
    for (std::size_t size = 0; size < payload.size(); ++size)
      EXPECT_FALSE(decode(type, std::span(payload).first(size))) << message.index() << " cut to " << size;
    payload.push_back(std::byte{0});
    EXPECT_FALSE(decode(type, payload)) << message.index() << " with a byte too much";
  }
}

TEST(Wire, ImpossibleValuesAreRefused) {
  const auto refused = [](MessageType type, const std::function<void(ByteWriter&)>& fill) {
    Bytes bytes;
    ByteWriter out(bytes);
    fill(out);
    return !decode(type, bytes);
  };
  const auto number8 = [](ByteWriter& out, std::uint8_t value) { out.number(value); };
  EXPECT_TRUE(refused(MessageType::connect_denied, [&](auto& out) { number8(out, 0); }));
  EXPECT_TRUE(refused(MessageType::connect_denied, [&](auto& out) { number8(out, 6); }));
  for (const std::uint8_t reason : {0, 10, 255})
    EXPECT_TRUE(refused(MessageType::resume_denied, [&](auto& out) {
      number8(out, reason);
      out.number(std::uint64_t{0});
      out.number(std::uint64_t{0});
    }));
  EXPECT_TRUE(refused(MessageType::checkpoint, [&](auto& out) {
    out.number(std::uint64_t{2});
    out.number(std::uint64_t{1});  // a limit below what is held
    number8(out, 0);
  }));
  EXPECT_TRUE(refused(MessageType::checkpoint, [&](auto& out) {
    out.number(std::uint64_t{1});
    out.number(std::uint64_t{2});
    number8(out, 4);  // a flag that is none
  }));
  for (const std::uint8_t from_creator : {1, 2})
    EXPECT_TRUE(refused(MessageType::resume, [&](auto& out) {
      out.number(std::uint16_t{1});
      for (int i = 0; i < 4; ++i) out.number(std::uint64_t{1});  // id, generation, attempt
      number8(out, from_creator);
      out.number(std::uint64_t{1});
      out.number(std::uint64_t{from_creator == 1 ? 0U : 2U});
      number8(out, 0);
    })) << int{from_creator};
  EXPECT_TRUE(refused(MessageType::data, [&](auto& out) { out.number(std::uint64_t{0}); }));
  EXPECT_TRUE(refused(static_cast<MessageType>(0), [](auto&) {}));
  EXPECT_TRUE(refused(static_cast<MessageType>(14), [](auto&) {}));
  for (const char* service : {"", "a.b", "a b", "~"}) {
    Bytes bytes = frame_of(Connect{1, {}, 1, 1, "x"});
    bytes.resize(bytes.size() - 5);
    ByteWriter(bytes).text(service);
    EXPECT_FALSE(decode(MessageType::connect, std::span(bytes).subspan(frame_header_bytes))) << service;
  }
}

TEST(Wire, OversizedFramesAreViolationsBeforeTheyHaveCome) {
  for (int type = 0; type < 256; ++type) {
    const bool is_data = type == static_cast<int>(MessageType::data);
    const std::size_t most = is_data ? data_header_bytes + max_data_bytes : max_control_payload_bytes;
    for (const std::size_t size : {most + 1, std::size_t{0xffffff}}) {
      Bytes header(4);
      store_big_endian(std::span(header).first<4>(),
                       static_cast<std::uint32_t>(static_cast<std::size_t>(type) << 24 | size));
      FrameReader reader;
      Collected out;
      out.feed(reader, header);
      EXPECT_TRUE(out.violated) << type << " of " << size;
    }
  }
  for (const std::size_t size : {0, 7, 8}) {
    Bytes header(4);
    store_big_endian(std::span(header).first<4>(), static_cast<std::uint32_t>(4 << 24 | size));
    FrameReader reader;
    Collected out;
    out.feed(reader, header);
    EXPECT_TRUE(out.violated) << "DATA of " << size;
  }
}

TEST(Wire, DataIsHandedOnAsItComes) {
  const Bytes bytes = data_frame(1000, "hello world");
  FrameReader reader;
  Collected out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out.feed(reader, std::span(bytes).subspan(i, 1));
    EXPECT_EQ(out.data.size(), i < 12 ? 0 : i - 11);
  }
  EXPECT_EQ(out.data, "hello world");
  EXPECT_EQ(out.next_offset, 1011U);
}

TEST(Wire, TheLargestDataFrameIsTaken) {
  const std::string text(max_data_bytes, 'x');
  FrameReader reader;
  Collected out;
  out.feed(reader, data_frame(5, text));
  EXPECT_FALSE(out.violated);
  EXPECT_EQ(out.data.size(), max_data_bytes);
}

RC_GTEST_PROP(Wire, AStreamCutAnywhereIsTheSameStream, ()) {
  Bytes stream;
  std::vector<Bytes> messages;
  std::string data;
  const auto count = *rc::gen::inRange(1, 20);
  for (int i = 0; i < count; ++i) {
    if (*rc::gen::arbitrary<bool>()) {
      messages.push_back(frame_of(*rc::gen::elementOf(every_message())));
      stream.insert(stream.end(), messages.back().begin(), messages.back().end());
    } else {
      std::string text(*rc::gen::inRange<std::size_t>(1, 60), ' ');
      for (char& c : text) c = static_cast<char>('a' + data.size() % 26);
      const Bytes frame = data_frame(data.size(), text);
      stream.insert(stream.end(), frame.begin(), frame.end());
      data += text;
    }
  }
  FrameReader reader;
  Collected out;
  std::span<const std::byte> rest(stream);
  while (!rest.empty()) {
    const auto size = *rc::gen::inRange<std::size_t>(1, std::min<std::size_t>(rest.size(), 30) + 1);
    out.feed(reader, rest.first(size));
    rest = rest.subspan(size);
  }
  RC_ASSERT(!out.violated);
  RC_ASSERT(out.messages == messages);
  RC_ASSERT(out.data == data);
}

RC_GTEST_PROP(Wire, RandomBytesNeverDoMoreThanEndTheConnection, ()) {
  auto bytes = *rc::gen::container<std::vector<std::uint8_t>>(rc::gen::oneOf(
      rc::gen::arbitrary<std::uint8_t>(), rc::gen::inRange<std::uint8_t>(0, 15), rc::gen::just<std::uint8_t>(0)));
  FrameReader reader;
  Collected out;
  out.feed(reader, std::as_bytes(std::span(bytes)));
  RC_ASSERT(out.data.size() <= bytes.size());
}

// Nothing but the case of a service's name has two forms.
RC_GTEST_PROP(Wire, WhatDecodesEncodesToTheSameBytes, ()) {
  Bytes bytes = frame_of(*rc::gen::elementOf(every_message()));
  const auto at = *rc::gen::inRange<std::size_t>(frame_header_bytes, bytes.size() + 1);
  if (at < bytes.size()) bytes[at] ^= static_cast<std::byte>(*rc::gen::inRange(1, 256));
  const auto message = decode(static_cast<MessageType>(bytes[0]), std::span(bytes).subspan(frame_header_bytes));
  if (!message) return;
  if (std::holds_alternative<Connect>(*message))
    for (std::size_t i = frame_header_bytes + 38; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::byte>(std::tolower(std::to_integer<int>(bytes[i])));
  RC_ASSERT(frame_of(*message) == bytes);
}

}  // namespace
}  // namespace sessionfs::test
