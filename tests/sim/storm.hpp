// A random world: flows over sessions while everything that can fail does. The seed makes all of it.
#pragma once

#include <cstdint>

namespace sessionfs::test {

/// What has happened in some worlds.
struct Tally {
  std::uint64_t worlds = 0;
  std::uint64_t steps = 0;
  std::uint64_t bytes = 0;  // read by applications
  std::uint64_t cuts = 0;   // connections broken, or silent from then on
  std::uint64_t suspends = 0;
  std::uint64_t crashes = 0;
  std::uint64_t power_cuts = 0;
  std::uint64_t addresses = 0;  // changes, of one host or of two at once
  std::uint64_t better_links = 0;
  std::uint64_t moves = 0;
  std::uint64_t returns = 0;  // of hosts from which all had moved
  std::uint64_t travels = 0;  // of an endpoint in its record, which left one host for another
  std::uint64_t handoffs = 0;
  std::uint64_t stale = 0;   // records that were loaded while a former residence had gone on
  std::uint64_t copies = 0;  // loaded while the host that they were made at goes on
};

/// What does not hold is a failure of GoogleTest's. With `trace` every event is printed.
void run_world(std::uint64_t seed, bool trace, Tally& tally);

}  // namespace sessionfs::test
