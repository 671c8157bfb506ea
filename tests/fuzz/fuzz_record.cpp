// The record of an endpoint, as a stick from anywhere may carry it.
//
// input: the body of a record; its head with the right size and checksum is made here, for each version. Also taken as
// it is.
#include <set>

#include "engine/bytes.hpp"
#include "engine/record.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

constexpr std::size_t magic_bytes = 4;

std::vector<std::byte> with_head(Bytes body, std::uint16_t version) {
  static const auto example = encode(EndpointRecord{});
  std::vector<std::byte> out(example.begin(), example.begin() + magic_bytes);
  ByteWriter writer(out);
  writer.number(version);
  if (version == 1) {
    writer.number(static_cast<std::uint32_t>(body.size()));
  } else {
    writer.number(std::uint64_t{body.size()});
  }
  writer.number(checksum(body));
  writer.raw(body);
  return out;
}

void require_limits(const EndpointRecord& record) {
  require(EndpointName::parse(record.name.str()) == record.name, "the name is valid");
  require(record.private_key.size() <= max_key_bytes && record.certificate.size() <= max_key_bytes, "keys are bounded");
  require(record.policy.size() <= max_rules_bytes && record.access.size() <= max_rules_bytes, "rules are bounded");
  require(record.services.size() <= max_record_services, "services are bounded");
  require(record.tombstones.size() <= max_tombstones, "tombstones are bounded");
  std::set<std::pair<SessionId, bool>> sessions;
  std::set<std::string> names;
  for (const auto& [image, sent, received] : record.sessions) {
    require(image.local == record.name && image.generation <= record.generation, "a session is the endpoint's");
    require(sent.size() == image.sent.written - image.sent.acked, "all that was sent is there");
    require(received.size() == image.received.held - image.received.read, "all that was received is there");
    require(sessions.emplace(image.id, image.creator).second, "a session is there once");
    require(image.detached || names.insert(image.file_name).second, "a name is there once");
    require(image.file_name.find('/') == std::string::npos && image.file_name[0] != '.', "a name leads nowhere else");
  }
  for (const auto& service : record.services) require(parse_service_part(service) == service, "services are valid");
}

void fuzz(Bytes bytes, Bytes input) {
  const AllocationMeter meter;
  const auto record = decode_endpoint_record(bytes);
  require(meter.bytes() <= 64 * bytes.size() + 4096, "decoding allocates no more than the input explains");
  if (!record) return;
  require_limits(*record);
  const auto encoded = encode(*record);
  const auto again = decode_endpoint_record(encoded);
  require(again && encode(*again) == encoded, "decode(encode(x)) is x");

  auto padded = encoded;
  padded.insert(padded.end(), input.begin(), input.end());
  require(decode_endpoint_record(padded).has_value(), "bytes behind the record's end are ignored");

  // The checksum finds any one byte that is changed. One place an input keeps this fast.
  const std::size_t at = checksum(input) % encoded.size();
  auto damaged = encoded;
  damaged[at] ^= std::byte{0x10};
  require(!decode_endpoint_record(damaged), "a damaged record is refused");
  require(!decode_endpoint_record(Bytes(encoded).first(encoded.size() - 1)), "a truncated record is refused");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = sessionfs::fuzz::input_of(data, size);
  sessionfs::fuzz::fuzz(input, input);
  for (const std::uint16_t version : {1, 2}) sessionfs::fuzz::fuzz(sessionfs::fuzz::with_head(input, version), input);
  return 0;
}
