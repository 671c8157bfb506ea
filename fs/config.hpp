// The configuration: a TOML file, and what the command line says over it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/name.hpp"
#include "engine/session.hpp"
#include "fs/files.hpp"

namespace sessionfs::fs {

inline constexpr std::uint16_t default_port = 4700;
inline constexpr std::uint16_t default_sns_port = 4701;
inline constexpr std::size_t min_buffer_bytes = 4096;
inline constexpr std::size_t max_buffer_bytes = std::size_t{256} << 20;
inline constexpr std::chrono::hours max_duration{1};  // of every key that is a time
inline constexpr std::chrono::milliseconds least_silence_limit{500};

/// A key that is unknown or has a bad value: what() names it and its line.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct HostPort {
  std::string host;
  std::uint16_t port = 0;

  /// What sns::parse_server() reads; without a port `fallback`.
  static std::optional<HostPort> parse(std::string_view text, std::uint16_t fallback);
  /// The same form again.
  [[nodiscard]] std::string str() const;
};

struct Config {
  std::string domain = "local";
  EndpointName endpoint;  // the default endpoint; never empty after load
  HostPort listen{"::", default_port};
  bool listen_given = false;  // then no other port will do
  std::size_t buffer_bytes = std::size_t{1} << 20;
  Durability durability = Durability::process;
  std::chrono::milliseconds save_grace = std::chrono::seconds(10);  // for applications to save their states
  SilenceLimits silence_limits;
  std::map<std::string, HostPort> sns;
  std::filesystem::path apps_folder;  // beside the configuration file: the applications that may be started

  /// Reads `file`; without one, the file for this user if there is one. Throws ConfigError.
  static Config load(const std::optional<std::filesystem::path>& file);
};

inline constexpr const char* apps_name = "apps.d";

/// `/etc/sessionfs/config.toml` for root, `$XDG_CONFIG_HOME/sessionfs/config.toml` for a user.
std::filesystem::path default_config_file();
/// `/var/lib/sessionfs` for root, `$XDG_STATE_HOME/sessionfs` for a user.
std::filesystem::path default_state_folder();

}  // namespace sessionfs::fs
