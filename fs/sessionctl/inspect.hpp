// What is in the record of an endpoint that is not loaded, in words; its private key is never shown.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "engine/record.hpp"

namespace sessionfs::ctl {

/// The record at `path`, a file or the folder of an endpoint, in lines. Of a sealed one they say so; with a
/// `passphrase` (which is asked for it, only then) it is opened. Throws Error.
std::string inspect(const std::filesystem::path& path, const std::function<std::string()>& passphrase);

/// The lines for a record.
std::string record_text(const EndpointRecord& record);

/// `SHA256:` and the sum of the public key, in hexadecimal; "none that can be read" when there is none.
std::string key_fingerprint(const std::string& private_key);

}  // namespace sessionfs::ctl
