// Applications of an endpoint that has come: each state that one has saved (`.state.APP.N`) starts the program that the
// user has allowed under the name APP. A stick chooses among those programs; it can name no other.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/name.hpp"

namespace sessionfs::fs {

inline constexpr std::size_t max_application_bytes = 63;
inline constexpr std::uint32_t max_state_number = 999'999;
/// For one load at most this many programs are started.
inline constexpr std::size_t max_started_states = 64;
/// At the top of an endpoint's storage at most this many entries are looked at.
inline constexpr std::size_t max_state_folder_entries = 100'000;

/// `.state.APP.N`: APP is 1-63 of `a-z 0-9 - _`, N a decimal from 1 without leading zeros.
struct ApplicationState {
  std::string application;
  std::uint32_t number = 0;

  static std::optional<ApplicationState> parse(std::string_view file_name);
  [[nodiscard]] std::string str() const { return ".state." + application + "." + std::to_string(number); }
  friend auto operator<=>(const ApplicationState&, const ApplicationState&) = default;
};

/// Why the program `application` in `apps_folder` is not run, one line for people; empty when it may be. It is a
/// regular executable file, or a link to one; it and the folder belong to this user or to root, and nobody else can
/// write them. What lies below `mountpoint` is refused: to look at it would be to wait for ourselves.
std::string fault_of_application(const std::filesystem::path& apps_folder, const std::string& application,
                                 const std::filesystem::path& mountpoint);

class Applications {
 public:
  Applications(boost::asio::io_context& io, std::filesystem::path apps_folder, std::filesystem::path mountpoint)
      : io_(io), apps_folder_(std::move(apps_folder)), mountpoint_(std::move(mountpoint)) {}

  /// To be called when `name` has been loaded and goes on here; its documents are in `storage`. Starts its programs:
  /// APP --ep NAME --statefile MOUNTPOINT/NAME/.state.APP.N, with SESSIONFS_MOUNT set to the mountpoint, in sessions of
  /// their own. They outlive this. What is not started is told in the log.
  void start_for(const EndpointName& name, const std::filesystem::path& storage);

 private:
  void start(const EndpointName& name, const ApplicationState& state);

  boost::asio::io_context& io_;
  std::filesystem::path apps_folder_;
  std::filesystem::path mountpoint_;
};

}  // namespace sessionfs::fs
