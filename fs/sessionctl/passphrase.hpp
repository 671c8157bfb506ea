// Passphrases, as people type them: on the terminal without an echo, or as one line of standard input.
#pragma once

#include <string>

namespace sessionfs::ctl {

/// Whether somebody sits there to be asked.
bool can_ask();

enum class Asking { once, twice };

/// Asks on the terminal; for a new passphrase twice, as what is not seen is easily mistyped. Throws Error. A signal
/// that ends this program, or stops it, meets a terminal that is as it was before.
std::string ask_passphrase(const std::string& prompt, Asking times);

/// Asks on the terminal if standard input is one, else reads a line from there, and no more than it. Throws Error.
std::string passphrase_from_user(const std::string& prompt, Asking times);

/// Throws Error unless it has 1 to 1024 bytes.
void check_passphrase(const std::string& passphrase);

}  // namespace sessionfs::ctl
