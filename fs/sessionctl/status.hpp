// What `sessionctl status` prints: the host, and for each endpoint a table of its sessions.
#pragma once

#include <string>
#include <vector>

#include "fs/sessionctl/report.hpp"

namespace sessionfs::ctl {

/// The lines for the host alone.
std::string host_text(const HostReport& host);

/// The lines for one endpoint.
std::string endpoint_text(const EndpointReport& endpoint);

/// What else there is to say of a session, a line each: its connection, what it waits for, its last pause, why it has
/// ended, what is not sure.
std::vector<std::string> remarks(const SessionReport& session);

/// The same as JSON, by the names that sessionctl(1) lists, in ASCII and ended by a newline. What is not known is null.
std::string host_json(const HostReport& host);
std::string endpoint_json(const EndpointReport& endpoint);

}  // namespace sessionfs::ctl
