// Commands that let endpoints come and leave, and take as long as that does.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {

/// What is wrong with the name of a folder or a device for a line of `ctl`; empty: nothing.
std::string fault_of_path(const std::string& path);

/// Lets the endpoint in `folder`, or all those in it, go on here. Throws Error; one that is sealed is asked for on the
/// terminal if somebody sits there and `passphrase` is none.
void load(const Tree& tree, const std::string& folder, const std::optional<std::string>& passphrase);

/// Saves `endpoint` to `folder`; without one to the stick that it was loaded from. Throws Error.
void save(const Tree& tree, const std::string& endpoint, const std::optional<std::string>& folder,
          const std::optional<std::string>& passphrase);

/// Saves what lives on the stick and lets go of it. Throws Error.
void eject(const Tree& tree, const std::string& device);

}  // namespace sessionfs::ctl
