// The name server's protocol: requests as a server gets them, replies as a client does.
//
// input: a stream of frames; also taken as one body, and as stored addresses
#include "sns/wire.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

using namespace sns;

constexpr std::size_t version_and_operation_bytes = 2;
constexpr std::size_t id_bytes = 8;

void require_bounded(const std::vector<Address>& addresses) {
  require(addresses.size() <= max_addresses, "addresses are bounded");
  const auto again = decode_addresses(encode_addresses(addresses));
  require(again == addresses, "stored addresses are read as they were");
}

void fuzz_request(Bytes body) {
  const AllocationMeter meter;
  const DecodedRequest decoded = decode_request(body);
  require(meter.bytes() <= 64 * body.size() + 4096, "decoding allocates no more than the input explains");
  if (body.size() >= version_and_operation_bytes + id_bytes) {
    require(decoded.operation == std::to_integer<std::uint8_t>(body[1]), "the operation is known for the answer");
    require(Choices(body.subspan(version_and_operation_bytes)).number() == decoded.request.id,
            "the id is known for the answer");
  }
  if (decoded.status != Status::ok) return;
  require_bounded(decoded.request.addresses);
  require(decoded.request.name.size() <= max_name_field_bytes, "a name is bounded");
  auto encoded = encode(decoded.request);
  require(encoded.size() == decoded.signed_bytes, "what is signed is all but the signature");
  if (is_signed(decoded.request.operation))
    encoded.insert(encoded.end(), decoded.signature.begin(), decoded.signature.end());
  require(std::ranges::equal(encoded, body), "a request is encoded as it came");
}

void fuzz_reply(Bytes body) {
  const AllocationMeter meter;
  const auto reply = decode_reply(body);
  require(meter.bytes() <= 64 * body.size() + 4096, "decoding allocates no more than the input explains");
  if (!reply) return;
  require(is_wire_status(static_cast<std::uint8_t>(reply->status)) && !describe(reply->status).empty(),
          "a reply has a status that can be told");
  require_bounded(reply->info.addresses);
  if (reply->info.away_since) require(to_seconds(*reply->info.away_since) > 0, "a time is one that people know");
  const auto encoded = encode(*reply);
  require(encoded.size() <= max_frame_bytes, "a reply fits into a frame");
  require(decode_reply(encoded) == reply, "decode(encode(x)) is x");
  if (reply->status == Status::ok) require(std::ranges::equal(encoded, body), "a good reply is encoded as it came");
}

void fuzz_stream(Bytes stream) {
  while (true) {
    const FrameSplit split = split_frame(stream);
    if (split.kind != FrameSplit::Kind::complete) {
      // What is wrong with a length is known as soon as it is there, and stays.
      for (std::size_t size = 0; size < std::min<std::size_t>(stream.size(), 64); ++size) {
        const auto earlier = split_frame(stream.first(size)).kind;
        require(earlier == FrameSplit::Kind::incomplete || earlier == split.kind,
                "a part of a frame is no other frame");
      }
      return;
    }
    require(!split.body.empty() && split.body.size() <= max_frame_bytes, "a body is bounded");
    require(split.consumed_bytes == split.body.size() + sns::frame_header_bytes, "a frame is its head and its body");
    require(split_frame(stream.first(split.consumed_bytes - 1)).kind == FrameSplit::Kind::incomplete,
            "a part of a frame is none");
    std::vector<std::byte> frame;
    append_frame(frame, split.body);
    require(std::ranges::equal(frame, stream.first(split.consumed_bytes)), "a frame is made as it came");
    fuzz_request(split.body);
    fuzz_reply(split.body);
    stream = stream.subspan(split.consumed_bytes);
  }
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  const auto input = input_of(data, size);
  fuzz_stream(input);
  fuzz_request(input);
  fuzz_reply(input);
  if (const auto addresses = sessionfs::sns::decode_addresses(input))
    require(std::ranges::equal(sessionfs::sns::encode_addresses(*addresses), input), "addresses have one form");
  return 0;
}
