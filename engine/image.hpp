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
/// Loads in a row without the peer: the first, and the last ones.
inline constexpr std::size_t max_loaded_marks = 4;

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
  /// The generation of the peer's residence with which we have gone on last: what is received comes from it, or from
  /// one whose stream it goes on with.
  std::uint64_t source = 0;
  /// Where our stream was when it was loaded at new residences, since the peer was known to go on with one.
  struct Loaded {
    struct Mark {
      std::uint64_t generation = 0;  // of the residence that wrote it
      std::uint64_t written = 0;
    };
    std::vector<Mark> marks;  // by generation; none: it was never loaded
    std::uint64_t acked = 0;  // at the first load of all
    bool settled = false;     // the peer goes on with this residence
  };
  Loaded loaded;

  /// It has come from a record. An older mark with which no peer has settled stays.
  void mark_loaded();
  /// It goes on in the residence of `generation`, which is another than that which has written it, if it is higher.
  void enter(std::uint64_t new_generation);
};

std::vector<std::byte> encode(const SessionImage& image);

/// Nothing when the bytes are damaged, of an unknown version, or say what cannot be for buffers of `capacity` bytes.
/// Version 1, without `source` and `loaded`, is known too.
std::optional<SessionImage> decode_session_image(std::span<const std::byte> bytes, std::size_t capacity);

/// FNV-1a, 64 bits: finds torn and damaged writes, proves nothing.
std::uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace sessionfs
