// What resides at a host: endpoints with their services and sessions (thesis 3.1.1, 3.2.1).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "engine/access.hpp"
#include "engine/session.hpp"

namespace sessionfs {

/// Sessions that have come in by a service and were not accepted yet.
inline constexpr std::size_t max_backlog_sessions = 128;
/// How many ended sessions an endpoint can still answer for.
inline constexpr std::size_t max_tombstones = 4096;
/// Peers and services whose last number is remembered; beyond, numbering starts again at the first free one.
inline constexpr std::size_t max_numbered_peers = 65536;

struct Service {
  std::deque<std::shared_ptr<Session>> backlog;
};

/// What is remembered of a session that has ended well: enough to tell its peer so.
struct Tombstone {
  SessionId id;
  EndpointName peer;
  bool creator = false;
  std::uint64_t held = 0;  // the end of the peer's direction
  std::uint64_t end = 0;   // the end of ours

  bool operator==(const Tombstone&) const = default;
};

class Endpoint {
 public:
  EndpointName name;
  std::uint64_t generation = 1;
  bool removed = false;  // gone for everybody; only delivers what its sessions still hold
  bool frozen = false;   // between two places: its sessions are in its record alone
  Access access;
  std::map<std::string, Service, std::less<>> services;
  std::map<std::string, std::shared_ptr<Session>, std::less<>> sessions;  // by file name; not those that are closed
  std::deque<Tombstone> tombstones;

  /// A name for a session that came in by `service` from `peer`. No name is given twice while the host runs, so that a
  /// script that is late never meets another session.
  std::string new_session_name(std::string_view service, const EndpointName& peer);

 private:
  std::map<std::string, std::size_t> last_numbers_;
};

}  // namespace sessionfs
