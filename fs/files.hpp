// Small whole files of the state directory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sessionfs::fs {

/// What a stored file holds is no longer what was written: it is set aside. Any other exception is trouble with the
/// machine, which may pass.
class Damaged : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The content of `path`. Throws std::system_error; Damaged when it is larger than `limit` bytes.
std::string read_file(const std::filesystem::path& path, std::size_t limit);

enum class Kept { process, power };

/// Replaces `path` (mode 0600) by `content`: whoever reads it sees the old one or the new one; with Kept::power also
/// after a power cut (temporary file, fsync, rename, fsync of the folder). Throws std::system_error.
void replace_file(const std::filesystem::path& path, std::string_view content, Kept kept = Kept::power);

}  // namespace sessionfs::fs
