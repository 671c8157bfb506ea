// This host's membership of its domain, kept in one file of mode 0600: it holds the member's key.
#pragma once

#include <filesystem>

#include "sns/membership.hpp"

namespace sessionfs::fs {

/// Throws std::system_error.
void save_membership(const std::filesystem::path& file, const sns::Membership& membership);

/// Throws std::runtime_error when the file is damaged, std::system_error when it cannot be read.
sns::Membership load_membership(const std::filesystem::path& file);

}  // namespace sessionfs::fs
