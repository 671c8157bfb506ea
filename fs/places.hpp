// Where paths lead, told from their names.
#pragma once

#include <filesystem>

namespace sessionfs::fs {

/// Whether `path` is `folder`, or below it, by name alone. Both absolute and without `.` and `..`.
bool lies_below(const std::filesystem::path& path, const std::filesystem::path& folder);

/// Whether the absolute `path` leads to `folder` or below it, symbolic links followed, without a look at anything
/// there: the daemon must not look into its own mount, where it would wait for itself.
bool leads_into(const std::filesystem::path& path, const std::filesystem::path& folder);

}  // namespace sessionfs::fs
