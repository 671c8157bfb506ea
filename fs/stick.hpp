// An endpoint's folder on a stick, or wherever it was copied to: found, read and written as what strangers may have
// made. Nothing here follows a symbolic link below the folder, or opens anything but plain files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/record.hpp"

namespace sessionfs::fs {

/// What is in a record's file and cannot be used: `error` is the errno, what() one line for people.
class BadRecord : public std::runtime_error {
 public:
  BadRecord(int number, const std::string& why) : std::runtime_error(why), error(number) {}
  int error;
};

struct ReadRecord {
  EndpointRecord record;
  std::string seal;  // the key that it was sealed with (SealKey::text()), empty: it was not
};

/// The record in `folder`. A sealed one opens with its passphrase or, when that is empty, with `seal`, a key that it
/// may have been sealed with (SealKey::text()). Throws BadRecord: ENOENT there is none, EINVAL it is damaged or none,
/// ENOKEY it is sealed and neither is given, or `seal` is another one; EKEYREJECTED it is the wrong passphrase; or the
/// errno of the storage.
ReadRecord read_record(const std::filesystem::path& folder, const std::string& passphrase,
                       const std::string& seal = "");

/// In the root of a stick at most this many entries are looked at.
inline constexpr std::size_t max_stick_entries = 4096;
/// Of what is wrong there, this much is told.
inline constexpr std::size_t max_stick_faults = 16;

struct StickContent {
  std::vector<std::filesystem::path> folders;  // which have a record, and an endpoint's name; in no order
  std::vector<std::string> faults;             // of those that look like endpoints and are none: lines for people
};

/// What is in `root`. Throws std::system_error when that cannot be read.
StickContent look_at_stick(const std::filesystem::path& root);

/// Whether owners, modes and links can be kept there (not on vfat, exfat, and file systems in user space).
bool keeps_owners(const std::filesystem::path& path);

}  // namespace sessionfs::fs
