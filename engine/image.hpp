// What of a session outlives the process: encoded, versioned and checksummed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/recv_buffer.hpp"
#include "engine/send_buffer.hpp"
#include "engine/wire.hpp"

namespace sessionfs {

/// Why a session does not stand, or no longer does. Each has one errno.
enum class Failure : std::uint8_t {
  none,
  no_endpoint,   // ENOENT
  no_service,    // ENOENT
  access,        // ECONNREFUSED
  backlog_full,  // ECONNREFUSED
  unreachable,   // EHOSTUNREACH
  timed_out,     // ETIMEDOUT
  untrusted,     // EKEYREJECTED
  version,       // EPROTONOSUPPORT
  aborted_here,  // ECONNRESET
  lost,          // ECONNRESET
  superseded,    // ESTALE
};

/// A bound on an encoded image.
inline constexpr std::size_t max_image_bytes = 1024;

struct SessionImage {
  SessionId id;
  EndpointName local;
  EndpointName peer;
  std::string service;
  std::string file_name;  // in the endpoint's sessions/
  bool creator = false;
  bool connecting = false;  // it does not stand yet
  bool accepted = false;    // an application has been told of it (or made it)
  bool detached = false;    // the application has closed it; it only delivers what is left
  bool suspended = false;
  bool closed = false;
  Failure failure = Failure::none;
  std::uint64_t generation = 0;
  std::uint64_t peer_generation = 0;
  std::uint64_t attempt = 0;
  std::uint64_t peer_attempt = 0;
  SendBuffer::Position sent;
  RecvBuffer::Position received;
  std::optional<std::uint64_t> end;  // where our direction ends
  bool end_acked = false;
  std::optional<std::uint64_t> peer_end;  // where the peer's direction ends
  bool peer_closed = false;
  /// Written when it was loaded at a new residence, until the peer has agreed to go on. What the peer holds beyond it
  /// was written by a former residence after the copy that was loaded, and is not what this one writes.
  std::optional<std::uint64_t> loaded_end;
};

std::vector<std::byte> encode(const SessionImage& image);

/// Nothing when the bytes are damaged, of an unknown version, or say what cannot be for buffers of `capacity` bytes.
/// Version 1, without `loaded_end`, is known too.
std::optional<SessionImage> decode_session_image(std::span<const std::byte> bytes, std::size_t capacity);

/// FNV-1a, 64 bits: finds torn and damaged writes, proves nothing.
std::uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace sessionfs
