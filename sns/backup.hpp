// All that a name server keeps, as text for people: `snsd export` and `snsd import`.
//
// One thing a line; words are separated by spaces, `#` at a line's start makes it a comment, empty lines count nothing.
//
//   sessionfs-names 1                      the format and its version; the first line
//   domain DOMAIN
//   authority certificate                  then the certificate of the domain's authority (X.509, PEM)
//   authority key                          then its private key (PKCS#8, PEM). Who has it can prove every name
//   member NUMBER key=K joined=T [revoked=T]
//   endpoint NAME key=K generation=N mark=M member=NUMBER changed=T [away=T] [revoked=T] [at=ADDRESS:PORT]...
//   service SERVICE.NAME port=N            of the endpoint above it
//   end                                    the last line: what has none is not complete
//
// The domain and its authority come first, then members, then endpoints, these in any order. The words with `=` stand
// in any order; several `at=` are in the endpoint's order of preference.
//
//   K  Ed25519 public key, 64 hexadecimal digits     M  mark of the residence (types.hpp), 32 hexadecimal digits
//   T  UTC, as 2026-11-23T17:05:00Z                  member=0: nobody who is known; port=0: the endpoint's port
//   ADDRESS  10.0.0.1 or [2001:db8::1]               away: not heard of since; revoked: has no addresses, no services
//
// Tokens are no part of it, nor where the server listens.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sns/storage.hpp"

namespace sessionfs::sns {

inline constexpr int backup_version = 1;
inline constexpr std::size_t max_backup_line_bytes = 4096;    // without its end
inline constexpr std::size_t backup_piece_bytes = 64 * 1024;  // that is written or read at once, about

struct BackupCounts {
  std::string domain;
  std::size_t members = 0;
  std::size_t endpoints = 0;
  std::size_t services = 0;
};

/// Gives `write` the text, piece by piece. All of it is of one moment, also while a server runs. What `write` throws
/// ends it. Throws std::runtime_error when the database is damaged.
BackupCounts write_backup(const Storage& storage, const std::function<void(std::string_view)>& write);

/// Makes a database in `folder` of a text; `read` fills the start of the room that it is given and says how much, 0 at
/// the end. All or nothing (storage_restore.hpp). `domain`: which it must be of, if not empty. Throws
/// std::runtime_error that names the line and what is wrong with it, or why the database cannot be made.
BackupCounts read_backup(const std::function<std::size_t(std::span<char>)>& read, const std::filesystem::path& folder,
                         const std::string& domain, UnixTime now);

/// "2026-11-23T17:05:00Z" and nothing else, from 1970 to 9999.
std::optional<UnixTime> parse_time(std::string_view text);
/// "ADDRESS:PORT" of a session's endpoint, without zone; nothing when nobody can be reached there (is_usable()).
std::optional<Address> parse_address(std::string_view text);

}  // namespace sessionfs::sns
