// The commands that carry other programs' bytes: connect, serve, forward, expose (CONTRACT of the command line:
// --help). All of them end by Interrupted when somebody asks them to, after what they have begun is put in order.
#pragma once

#include <string>
#include <vector>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {

inline constexpr std::size_t default_session_limit = 64;

/// Dials `service` from `endpoint`; standard input and output become the session.
void connect(const Tree& tree, const std::string& endpoint, const std::string& service);

/// Runs `command` for each session that comes to `service` at `endpoint`, `limit` at once, with the session as standard
/// input and output and SESSION_NAME, SESSION_PEER, SESSION_SERVICE and SESSIONFS_MOUNT in its environment. Further
/// sessions wait. Asked to end, it takes no more and waits for those that run; asked again, it ends them.
void serve(const Tree& tree, const std::string& endpoint, const std::string& service, std::size_t limit,
           const std::vector<std::string>& command);

/// Each connection to `place` (see Listeners) becomes a session with `service`.
void forward(const Tree& tree, const std::string& endpoint, const std::string& service, std::size_t limit,
             const std::string& place);

/// Each session that comes to `service` becomes a connection to `place` (see connect_to()).
void expose(const Tree& tree, const std::string& endpoint, const std::string& service, std::size_t limit,
            const std::string& place);

}  // namespace sessionfs::ctl
