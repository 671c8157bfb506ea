// What the daemon's files `status` say, as values. They are lines `KEY: VALUE`; what is not known here is left out, and
// a number that is none is not there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sessionfs::ctl {

using Count = std::optional<std::uint64_t>;
using Words = std::optional<std::string>;

struct Pause {
  Count seconds_ago;
  std::string why;
};

/// A line `session:` of an endpoint, and what other lines say of the same session.
struct SessionReport {
  std::string name;
  std::string state;  // in words
  Words error;        // what its readers and writers get
  Words ended_by;     // what has ended it, where that is known
  Count seconds_in_state;
  Count sent;
  Count acked;
  Count received;
  Count read;
  Count held;
  Count waiting;
  Words interface;
  Words local;
  Words remote;
  Count next_attempt_seconds;
  Count transition;
  Words event;
  std::optional<Pause> pause;
  Words waits_for;   // the peer
  Words away_since;  // the peer, since then
  Words unsure;
};

struct ServiceReport {
  std::string name;
  Count waiting;
};

struct EndpointReport {
  std::string name;
  Words registration;
  Words away;  // why it cannot be used just now
  Count generation;
  Words interface;  // none: nothing can be used
  Words interface_why;
  Words storage;  // where its documents are, if not at the daemon's own place
  Words last_error;
  std::vector<ServiceReport> services;
  std::vector<SessionReport> sessions;
};

struct InterfaceReport {
  std::string name;
  bool up = false;
  std::string kind;
  Count speed_mbits;
  bool metered = false;
  bool default_route = false;
  std::vector<std::string> addresses;
  std::vector<std::string> deprecated_addresses;
};

struct MediumReport {
  std::string device;
  Words label;
  Words uuid;
  Words type;
  Words folder;  // where it is mounted
  std::string state;
  Words why;
};

struct HostReport {
  std::string mount;
  std::string domain;
  std::string name_server;
  std::string default_endpoint;
  std::vector<std::string> addresses;
  std::vector<InterfaceReport> interfaces;
  std::vector<MediumReport> media;
  Count services;
  Count sessions;
  Count connections;
  std::vector<std::string> troubles;
  Words last_error;
  std::vector<EndpointReport> endpoints;  // of each the name, and what the host says of it
};

HostReport parse_host(const std::string& host_status);

EndpointReport parse_endpoint(const std::string& endpoint_status);

/// What the host and its endpoints say of themselves. `endpoint_statuses` are those that can be read; an endpoint that
/// the host alone knows is away.
HostReport parse_all(const std::string& host_status, const std::vector<std::string>& endpoint_statuses);

}  // namespace sessionfs::ctl
