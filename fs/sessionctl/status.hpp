// What `sessionctl status` prints: the host, and for each endpoint a table of its sessions. From the daemon's files
// `status`, which are lines `KEY: VALUE`; a line whose key is not known here is left out.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace sessionfs::ctl {

/// A line `session:` of an endpoint's status, and what other lines say of the same session.
struct SessionLine {
  std::string name;
  std::string state;                          // in words; of a failed one also why
  std::map<std::string, std::string> values;  // the `key=value`
  std::vector<std::string> remarks;           // what it waits for, its last pause, what is not sure
};

std::vector<SessionLine> parse_sessions(const std::string& endpoint_status);

/// The lines for the host, from its status.
std::string host_text(const std::string& mount, const std::string& host_status);

/// The lines for one endpoint, from its status.
std::string endpoint_text(const std::string& endpoint_status);

}  // namespace sessionfs::ctl
