// Applications that have saved their states with an endpoint, and are started again where it is loaded (thesis 4.3).
//
// A state file `.state.APP.N` at the endpoint's top starts apps.d/APP of the configuration folder, as this user:
//
//   apps.d/APP --ep ENDPOINT --statefile MOUNT/ENDPOINT/.state.APP.N
//
// with SESSIONFS_MOUNT in its environment, no input and no output. What is on a stick can name only what the user has
// put into apps.d.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "engine/name.hpp"

namespace sessionfs::fs {

/// Of one load so many are started; and among so many files they are looked for.
inline constexpr std::size_t max_applications = 64;
inline constexpr std::size_t max_looked_at = 100'000;

/// The APP of `.state.APP.N`: APP is 1-63 of `a-z 0-9 - _`, N a number from 1 to 999999. Nothing for other names.
std::optional<std::string_view> application_of(std::string_view file_name);

class Applications {
 public:
  Applications(boost::asio::io_context& io, std::filesystem::path folder, std::filesystem::path mountpoint)
      : io_(io), folder_(std::move(folder)), mountpoint_(std::move(mountpoint)) {}

  /// Starts those whose states are in `storage`. Each that is not allowed is told of in one line.
  void start_for(const EndpointName& endpoint, const std::filesystem::path& storage);

 private:
  void start(const EndpointName& endpoint, const std::string& state_file);
  [[nodiscard]] std::string why_not(const std::filesystem::path& program) const;

  boost::asio::io_context& io_;
  std::filesystem::path folder_;  // apps.d
  std::filesystem::path mountpoint_;
};

}  // namespace sessionfs::fs
