// A record in words: what somebody may know who holds a copy of an endpoint.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace sessionfs::ctl {

/// The record in `file`, or in the folder of an endpoint; without its key. When it is sealed, `ask` is called for its
/// passphrase; without it only that it is sealed is told. Throws Error.
std::string inspect(const std::filesystem::path& file, const std::function<std::string()>& ask);

}  // namespace sessionfs::ctl
