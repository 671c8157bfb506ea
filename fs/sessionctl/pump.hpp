// Moves bytes between a session and two descriptors, in both directions, until both have ended.
#pragma once

#include <functional>

#include "fs/sessionctl/session_file.hpp"

namespace sessionfs::ctl {

struct Ends {
  int in;
  int out;
  /// Whoever reads `out` is to see its end; `in` may go on.
  std::function<void()> end_output;
  /// When nobody reads the pipe `out` any more, SIGPIPE ends all, as for a filter; else `in` goes on.
  bool is_filter = false;
};

/// The end of `in` is passed on as finish, the peer's finish as end_output. Returns when both directions have ended, or
/// the peer has closed the session. Throws Error when the session or an end is lost, Interrupted. The descriptors do
/// not block meanwhile.
void pump(SessionFile& session, const Ends& ends);

}  // namespace sessionfs::ctl
