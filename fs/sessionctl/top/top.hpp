// `sessionctl top`: the sessions of all endpoints, live.
#pragma once

#include <chrono>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {

/// Shows them on the terminal, with a look every `interval`, until the user quits or a signal asks for the end. Throws
/// Error.
void top(const Tree& tree, std::chrono::milliseconds interval);

}  // namespace sessionfs::ctl
