// The record of an endpoint: its portable form, the file `.endpoint` (thesis 4.3.2).
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

inline constexpr std::size_t max_record_bytes = 16 * 1024 * 1024;
inline constexpr std::size_t max_key_bytes = 16 * 1024;
inline constexpr std::size_t max_record_services = 65536;

struct EndpointRecord {
  EndpointName name;
  std::uint64_t generation = 1;
  std::string private_key;  // PEM
  std::string certificate;  // PEM
  std::string policy;
  std::string access;
  std::vector<std::string> services;
  std::vector<Tombstone> tombstones;
};

std::vector<std::byte> encode(const EndpointRecord& record);

/// Nothing when the bytes are damaged or of an unknown version. Bytes behind the record's own end are ignored, so
/// that a copy which a tool has padded is still whole.
std::optional<EndpointRecord> decode_endpoint_record(std::span<const std::byte> bytes);

}  // namespace sessionfs
