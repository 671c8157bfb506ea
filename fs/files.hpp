// Small whole files of the state directory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace sessionfs::fs {

/// The content of `path`. Throws std::system_error; std::runtime_error when it is larger than `limit` bytes.
std::string read_file(const std::filesystem::path& path, std::size_t limit);

/// Replaces `path` (mode 0600) by `content`: whoever reads it sees the old one or the new one, also after a power cut
/// (temporary file, fsync, rename, fsync of the folder). Throws std::system_error.
void replace_file(const std::filesystem::path& path, std::string_view content);

}  // namespace sessionfs::fs
