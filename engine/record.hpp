// The record of an endpoint: its portable form, the file `.endpoint` (thesis 4.3.2). docs/RECORD.md says it byte by
// byte.
//
// Versioned and checksummed; it holds the endpoint's private key, so it is kept with mode 0600.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/endpoint.hpp"
#include "engine/image.hpp"

namespace sessionfs {

inline constexpr std::size_t max_record_bytes = 512 * 1024 * 1024;
inline constexpr std::size_t max_key_bytes = 16 * 1024;
inline constexpr std::size_t max_record_services = 65536;
inline constexpr std::size_t max_record_sessions = 65536;
/// Of one direction of one session: as large as a buffer may be.
inline constexpr std::size_t max_kept_bytes = 256 * 1024 * 1024;
/// Generations and attempts are counted up from what a record says.
inline constexpr std::uint64_t max_record_count = std::uint64_t{1} << 62;

/// A session as it travels: where it stands, what it holds for its application, and what the peer may not hold. It goes
/// on in buffers that hold both.
struct SessionRecord {
  SessionImage image;               // with its buffers' starts at 0
  std::vector<std::byte> sent;      // from sent.acked to sent.written
  std::vector<std::byte> received;  // from received.read to received.held
};

struct EndpointRecord {
  EndpointName name;
  std::uint64_t generation = 1;
  std::string private_key;  // PEM
  std::string certificate;  // PEM
  std::string policy;
  std::string access;
  std::vector<std::string> services;
  std::vector<Tombstone> tombstones;
  std::vector<SessionRecord> sessions;
};

/// What of `session` travels now. To keep it is to hold all that was received.
SessionRecord record_of(const Session& session);

/// Only what keeps the limits above, max_record_bytes too, can be decoded again.
std::vector<std::byte> encode(const EndpointRecord& record);

/// Nothing when the bytes are damaged, of an unknown version or beyond a limit, and when a session is not one of the
/// endpoint's, is there twice, has a name that no session of its kind has or that another one has, or is of a later
/// residence than the record. Bytes behind the record's own end are ignored, so
/// that a copy which a tool has padded is still whole. Version 1, which has no sessions, is known too.
std::optional<EndpointRecord> decode_endpoint_record(std::span<const std::byte> bytes);

}  // namespace sessionfs
