// The daemon's tree as programs see it: where it is mounted, its endpoints, its commands. All that sessionctl knows
// comes from here; there is no other way to the daemon.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace sessionfs::ctl {

/// A `status` is a few lines a session. What is longer is no file of the daemon.
inline constexpr std::size_t max_status_bytes = std::size_t{64} << 20;

/// What the user is told, in one line: what has happened, to which name, what to do. `number` is the errno, where there
/// was one.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what, int number = 0) : std::runtime_error(what), number_(number) {}
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

/// Where sessionfs is mounted, as a file mountinfo has it (proc(5)): by `user`, or by others when that one has no
/// mount. A daemon whose mount is bound to other places too is named once.
std::vector<std::filesystem::path> mounts(std::istream& mountinfo, uid_t user);

class Tree {
 public:
  /// `mount`, else $SESSIONFS_MOUNT, else the one mount there is. Throws Error when there is none, or several, or when
  /// no daemon answers there.
  explicit Tree(const std::optional<std::string>& mount);

  [[nodiscard]] const std::filesystem::path& mount() const { return mount_; }
  /// The names of the endpoints that reside here, sorted.
  [[nodiscard]] std::vector<std::string> endpoints() const;
  [[nodiscard]] std::string host_status() const;
  /// Nothing when the endpoint does not reside here.
  [[nodiscard]] std::optional<std::string> status(const std::string& endpoint) const;
  /// Of all endpoints that reside here.
  [[nodiscard]] std::vector<std::string> statuses() const;
  /// `endpoint`, else the host's default one. Throws Error when it does not reside here.
  [[nodiscard]] std::string endpoint_or_default(const std::optional<std::string>& endpoint) const;
  /// The first endpoint that has a session with this name.
  [[nodiscard]] std::optional<std::string> endpoint_with(const std::string& session) const;
  /// Writes a line, VERB and what follows it, to `ctl` of an endpoint, or of the host. Throws Error with the reason
  /// that `status` gives. A passphrase goes with it, in the same write.
  void command(const std::string& line, const std::optional<std::string>& endpoint = std::nullopt,
               const std::optional<std::string>& passphrase = std::nullopt) const;

 private:
  std::filesystem::path mount_;
};

/// The values of all lines `KEY: VALUE`.
std::vector<std::string> values_of(const std::string& status, const std::string& key);
/// The first of them; empty when there is none.
std::string value_of(const std::string& status, const std::string& key);

}  // namespace sessionfs::ctl
