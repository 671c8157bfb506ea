// The name server's protocol: what is asked and answered, and its bytes. Pure: no I/O, no library.
//
// It runs over TLS 1.3 in which the server alone shows a certificate. All numbers are big-endian.
//
//   frame    u32 length of the body (1 to max_frame_bytes), body
//   request  u8 version, u8 operation, u64 id, fields, and if it changes something: 64 bytes signature
//   reply    u8 version, u8 operation, u64 id (both of the request), u8 status, and if that is `ok`: fields
//
// Several requests can be under way; replies carry their request's id and may come in any order. On one connection the
// ids strictly grow from 1. Version, operation, id and status stay where they are in all versions. A reply whose id
// nobody waits for is to be ignored. A server answers what it cannot parse with bad_request, then closes.
//
//   operation        fields of the request                          signed by      fields of the reply
//   NEW_EP           endpoint, residence, addresses, member, CSR    the member     lease, certificate
//   CHANGE_EP        endpoint, residence, addresses, [CSR]          the endpoint   lease, [certificate]
//   DEL_EP           endpoint, residence                            the endpoint
//   GET_EP           endpoint                                                      info
//   NEW_SERVICE      service, residence, port                       the endpoint
//   CHANGE_SERVICE   service, residence, port                       the endpoint
//   DEL_SERVICE      service, residence                             the endpoint
//   GET_SERVICE      service                                                       info
//   JOIN             secret, CSR                                                   member, certificate
//   WATCH            endpoint                                                      info
//   UNWATCH          endpoint
//
//   [..] may be of length 0: there is none.
//
//   a name: u16 length, text. residence: u64 generation, 16 bytes mark. addresses: u8 count, each: u8 family (4 or 6),
//   4 or 16 bytes, u16 port, u8 protocol. member: u64. CSR (PKCS#10), certificate (X.509): u16 length, DER. port: u16.
//   secret: 16 bytes. lease: u32 seconds. info: u64 generation, 32 bytes key, addresses, u64 away since (seconds since
//   1970; 0: it is there).
//
// CHANGE_EP claims a new residence, by a generation higher than the one known, or says where the known residence is
// now; it has to come again within the lease, or the endpoint counts as away. Of what it says the last counts: a
// CHANGE_EP on a connection older than the one that brought the last is stale.
//
// WATCH is answered as GET_EP at once, be it by not_found, and again with the same id whenever the answer would be
// another one; of several changes in short order only the last may be told. UNWATCH ends that, and so does the end of
// the connection.
//
// The eight operations are those of the thesis, 3.3.6; there six of them had no answer, and nobody had to prove
// anything. A signature is Ed25519 over to_be_signed(): it holds for one request on one connection.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sns/types.hpp"

namespace sessionfs::sns {

inline constexpr std::uint8_t wire_version = 1;
inline constexpr std::size_t max_frame_bytes = 64 * 1024;  // of a body, in both directions
inline constexpr std::size_t frame_header_bytes = 4;
inline constexpr std::size_t read_bytes = 4096;            // that a connection takes in at once
inline constexpr std::size_t max_name_field_bytes = 1024;  // names are shorter; so that a longer one is a bad_name

enum class Operation : std::uint8_t {
  new_ep = 1,
  change_ep = 2,
  del_ep = 3,
  get_ep = 4,
  new_service = 5,
  change_service = 6,
  del_service = 7,
  get_service = 8,
  join = 9,
  watch = 10,
  unwatch = 11,
};

/// Whether it must carry a signature.
bool is_signed(Operation operation);
/// Whether its name is a service's. JOIN has no name.
bool is_about_service(Operation operation);

/// The fields that an operation does not have are left as they are here.
struct Request {
  std::uint64_t id = 0;
  Operation operation = Operation::get_ep;
  std::string name;  // as it was sent: may be no valid name
  Residence residence;
  std::vector<Address> addresses;
  MemberId member = 0;
  std::vector<std::byte> signing_request;
  std::uint16_t port = 0;
  Secret secret{};

  friend bool operator==(const Request&, const Request&) = default;
};

struct Reply {
  std::uint64_t id = 0;
  std::uint8_t operation = 0;  // a number, as a server may be asked for operations that it does not know
  Status status = Status::internal;
  EndpointInfo info;
  MemberId member = 0;
  std::chrono::seconds lease{};
  std::vector<std::byte> certificate;

  friend bool operator==(const Reply&, const Reply&) = default;
};

/// The body of a request's frame, without its signature; the signature is to be appended where is_signed().
std::vector<std::byte> encode(const Request& request);
/// The body of a reply's frame.
std::vector<std::byte> encode(const Reply& reply);

struct DecodedRequest {
  Status status = Status::bad_request;  // ok, bad_request, unsupported_version
  Request request;                      // its id is set when the header was there, the rest when status is ok
  std::uint8_t operation = 0;           // as it was sent
  std::size_t signed_bytes = 0;         // of the body
  Signature signature{};
};
DecodedRequest decode_request(std::span<const std::byte> body);
/// Nothing when it is malformed.
std::optional<Reply> decode_reply(std::span<const std::byte> body);

/// What a signature is made of: a text that names this protocol, the connection, the body without the signature.
std::vector<std::byte> to_be_signed(const ChannelBinding& binding, std::span<const std::byte> body);

/// The stored form of addresses; the same as on the wire.
std::vector<std::byte> encode_addresses(const std::vector<Address>& list);
std::optional<std::vector<Address>> decode_addresses(std::span<const std::byte> bytes);

/// Appends a frame with this body.
void append_frame(std::vector<std::byte>& out, std::span<const std::byte> body);

/// Where the first frame of a stream's bytes ends.
struct FrameSplit {
  enum class Kind { incomplete, complete, violation };  // violation: a length of 0, or above max_frame_bytes
  Kind kind = Kind::incomplete;
  std::span<const std::byte> body;
  std::size_t consumed_bytes = 0;
};
FrameSplit split_frame(std::span<const std::byte> stream);

}  // namespace sessionfs::sns
