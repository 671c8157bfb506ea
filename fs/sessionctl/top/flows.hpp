// Sessions as the live view lists them: what flows between two looks.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "fs/sessionctl/report.hpp"

namespace sessionfs::ctl {

/// What a look at the mount has shown, and when.
struct Look {
  HostReport host;
  std::chrono::steady_clock::time_point at;
};

/// A session of an endpoint. Rates are bytes a second since the look before; nothing when that is not known.
struct Flow {
  std::string endpoint;
  SessionReport session;
  Count in;   // have come from the peer
  Count out;  // the peer has taken

  [[nodiscard]] bool same_session(const Flow& other) const {
    return endpoint == other.endpoint && session.name == other.session.name;
  }
};

/// The busiest first (those that differ by less than half stay by name), then those that wait for something, then idle
/// ones, then closed ones.
std::vector<Flow> flows(const std::optional<Look>& before, const Look& now);

}  // namespace sessionfs::ctl
