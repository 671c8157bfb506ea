// Small whole files of the state directory.
#pragma once

#include <cstddef>
#include <cstdint>
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

/// For messages that quote what a file holds: control characters, line ends among them, become question marks.
std::string one_line(std::string text);

/// What stored things outlive: a killed daemon, or a power cut too.
enum class Durability : std::uint8_t { process, power };

/// Replaces `path` (mode 0600) by `content`: whoever reads it sees the old one or the new one; with Durability::power
/// also after a power cut (temporary file, fsync, rename, fsync of the folder). Throws std::system_error.
void replace_file(const std::filesystem::path& path, std::string_view content,
                  Durability durability = Durability::power);

/// Brings the names in a folder to the disk. Throws std::system_error.
void sync_folder(const std::filesystem::path& path);

}  // namespace sessionfs::fs
