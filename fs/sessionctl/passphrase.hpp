// Asking for a passphrase.
#pragma once

#include <string>

namespace sessionfs::ctl {

/// Asks on the terminal, without showing what is typed; `twice`: once more, to be sure. Where standard input is no
/// terminal, its first line. Throws Error when it is empty, longer than 1024 bytes, or not the same twice.
std::string ask_passphrase(bool twice);

}  // namespace sessionfs::ctl
