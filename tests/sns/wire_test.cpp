#include "sns/wire.hpp"

#include <array>
#include <random>

#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {
namespace {

constexpr std::array operations{Operation::new_ep,      Operation::change_ep,   Operation::del_ep,
                                Operation::get_ep,      Operation::new_service, Operation::change_service,
                                Operation::del_service, Operation::get_service, Operation::join,
                                Operation::watch,       Operation::unwatch};

// One of each operation, with the fields that it has.
Request sample(Operation operation) {
  Request request;
  request.id = 0x0102030405060708;
  request.operation = operation;
  if (operation != Operation::join) request.name = is_about_service(operation) ? "file.a@b" : "a@b";
  if (is_signed(operation)) {
    request.residence.generation = 77;
    for (std::size_t i = 0; i < sizeof(ResidenceMark); ++i) request.residence.mark[i] = static_cast<std::byte>(i);
  }
  if (operation == Operation::new_ep || operation == Operation::change_ep) {
    request.addresses = {v6(9, 4700), v4(3, 65535)};
  }
  if (operation == Operation::new_ep) request.member = 5;
  if (operation == Operation::new_ep || operation == Operation::change_ep || operation == Operation::join)
    request.signing_request = {std::byte{1}, std::byte{2}, std::byte{3}};
  if (operation == Operation::new_service || operation == Operation::change_service) request.port = 80;
  if (operation == Operation::join) request.secret[15] = std::byte{9};
  return request;
}

std::vector<std::byte> sample_body(Operation operation) {
  auto body = encode(sample(operation));
  if (is_signed(operation)) body.insert(body.end(), sizeof(Signature), std::byte{0x5a});
  return body;
}

TEST(WireTest, RequestsComeBackAsTheyWere) {
  for (const auto operation : operations) {
    const auto body = sample_body(operation);
    const auto decoded = decode_request(body);
    ASSERT_EQ(decoded.status, Status::ok) << static_cast<int>(operation);
    EXPECT_EQ(decoded.request, sample(operation));
    EXPECT_EQ(decoded.signed_bytes, encode(sample(operation)).size());
    EXPECT_EQ(decoded.signature[0], is_signed(operation) ? std::byte{0x5a} : std::byte{0});
  }
}

TEST(WireTest, EveryTruncationAndEveryExtensionIsABadRequest) {
  for (const auto operation : operations) {
    auto body = sample_body(operation);
    for (std::size_t size = 0; size < body.size(); ++size)
      EXPECT_EQ(decode_request(std::span(body).first(size)).status, Status::bad_request) << size;
    body.push_back(std::byte{0});
    EXPECT_EQ(decode_request(body).status, Status::bad_request);
  }
}

TEST(WireTest, UnknownVersionsAndOperationsAreToldApart) {
  auto body = sample_body(Operation::get_ep);
  body[0] = std::byte{2};
  auto decoded = decode_request(body);
  EXPECT_EQ(decoded.status, Status::unsupported_version);
  EXPECT_EQ(decoded.request.id, sample(Operation::get_ep).id);
  body[0] = std::byte{1};
  body[1] = std::byte{200};
  decoded = decode_request(body);
  EXPECT_EQ(decoded.status, Status::bad_request);
  EXPECT_EQ(decoded.operation, 200);
}

TEST(WireTest, TooManyAddressesAndUnknownFamiliesAreRefused) {
  auto request = sample(Operation::change_ep);
  request.addresses.assign(max_addresses, v4(1, 1));
  auto body = encode(request);
  body.resize(body.size() + sizeof(Signature));
  EXPECT_EQ(decode_request(body).status, Status::ok);
  request.addresses.assign(max_addresses + 1, v4(1, 1));
  body = encode(request);
  body.resize(body.size() + sizeof(Signature));
  EXPECT_EQ(decode_request(body).status, Status::bad_request);

  for (const std::size_t field : {0U, 7U}) {  // family, protocol
    auto bytes = encode_addresses({v4(1, 1)});
    ASSERT_TRUE(decode_addresses(bytes));
    bytes[1 + field] = std::byte{5};
    EXPECT_FALSE(decode_addresses(bytes)) << field;
  }
}

TEST(WireTest, LongNamesAreRefused) {
  auto request = sample(Operation::get_ep);
  request.name.assign(max_name_field_bytes, 'x');
  EXPECT_EQ(decode_request(encode(request)).status, Status::ok);
  request.name += 'x';
  EXPECT_EQ(decode_request(encode(request)).status, Status::bad_request);
}

TEST(WireTest, RepliesComeBackAsTheyWere) {
  for (const auto operation : operations) {
    Reply reply;
    reply.id = 42;
    reply.operation = static_cast<std::uint8_t>(operation);
    reply.status = Status::ok;
    if (operation == Operation::get_ep || operation == Operation::get_service || operation == Operation::watch)
      reply.info = {8, {std::byte{1}}, {v4(1, 2), v6(3, 4)}, test_time};
    if (operation == Operation::join) reply.member = 12;
    if (operation == Operation::new_ep || operation == Operation::change_ep) reply.lease = std::chrono::seconds(90);
    if (operation == Operation::join || operation == Operation::new_ep || operation == Operation::change_ep)
      reply.certificate.assign(300, std::byte{4});
    const auto body = encode(reply);
    EXPECT_EQ(decode_reply(body), reply);
    for (std::size_t size = 0; size < body.size(); ++size)
      EXPECT_FALSE(decode_reply(std::span(body).first(size))) << size;
  }
}

TEST(WireTest, AnErrorHasNoFieldsAndNoClientSideStatus) {
  Reply reply;
  reply.operation = 200;
  reply.status = Status::unsupported_version;
  EXPECT_EQ(decode_reply(encode(reply)), reply);
  reply.status = Status::timed_out;
  EXPECT_FALSE(decode_reply(encode(reply)));
}

TEST(WireTest, AwaySinceIsATimeOrNone) {
  Reply reply;
  reply.operation = static_cast<std::uint8_t>(Operation::get_ep);
  reply.status = Status::ok;
  EXPECT_EQ(decode_reply(encode(reply))->info.away_since, std::nullopt);
  reply.info.away_since = UnixTime(std::chrono::seconds(253'402'300'799));  // the last one of the year 9999
  EXPECT_EQ(decode_reply(encode(reply)), reply);
  *reply.info.away_since += std::chrono::seconds(1);
  EXPECT_FALSE(decode_reply(encode(reply)));
}

TEST(WireTest, AChangeOfAnEndpointMayGoWithoutACertificate) {
  auto request = sample(Operation::change_ep);
  request.signing_request.clear();
  auto body = encode(request);
  body.resize(body.size() + sizeof(Signature));
  const auto decoded = decode_request(body);
  EXPECT_EQ(decoded.status, Status::ok);
  EXPECT_EQ(decoded.request, request);
}

TEST(WireTest, FramesAreSplitWhereTheyEnd) {
  std::vector<std::byte> stream;
  append_frame(stream, std::vector(3, std::byte{1}));
  append_frame(stream, std::vector(2, std::byte{2}));
  for (std::size_t size = 0; size < 7; ++size)
    EXPECT_EQ(split_frame(std::span(stream).first(size)).kind, FrameSplit::Kind::incomplete);
  const auto first = split_frame(stream);
  ASSERT_EQ(first.kind, FrameSplit::Kind::complete);
  EXPECT_EQ(first.body.size(), 3U);
  EXPECT_EQ(first.consumed_bytes, 7U);
  EXPECT_EQ(split_frame(std::span(stream).subspan(7)).body.size(), 2U);
}

TEST(WireTest, FramesOfNoLengthOrTooMuchAreViolations) {
  const auto header = [](std::uint32_t size) {
    std::vector<std::byte> bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::byte>(size >> shift));
    return bytes;
  };
  EXPECT_EQ(split_frame(header(0)).kind, FrameSplit::Kind::violation);
  EXPECT_EQ(split_frame(header(max_frame_bytes + 1)).kind, FrameSplit::Kind::violation);
  EXPECT_EQ(split_frame(header(0xffffffff)).kind, FrameSplit::Kind::violation);
  EXPECT_EQ(split_frame(header(max_frame_bytes)).kind, FrameSplit::Kind::incomplete);
}

TEST(WireTest, SignaturesAreBoundToConnectionAndRequest) {
  const auto body = sample_body(Operation::del_ep);
  auto other_body = body;
  other_body[9] ^= std::byte{1};
  ChannelBinding here{};
  ChannelBinding there{};
  there[31] = std::byte{1};
  EXPECT_NE(to_be_signed(here, body), to_be_signed(there, body));
  EXPECT_NE(to_be_signed(here, body), to_be_signed(here, other_body));
}

TEST(WireTest, RandomChangesNeverBreakTheDecoder) {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same run every time
  for (int round = 0; round < 20000; ++round) {
    auto body = sample_body(operations[random() % operations.size()]);
    for (int change = 0; change < 3; ++change) body[random() % body.size()] = static_cast<std::byte>(random());
    body.resize(random() % (body.size() + 8));
    const auto decoded = decode_request(body);
    EXPECT_LE(decoded.signed_bytes, body.size());
    EXPECT_LE(decoded.request.addresses.size(), max_addresses);
    (void)decode_reply(body);
  }
}

}  // namespace
}  // namespace sessionfs::sns
