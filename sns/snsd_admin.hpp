// What a domain's administrator does with snsd: tokens, members, endpoints, copies of all of it. All of them work
// beside a running server, on its database; what is revoked the server notices within about a second.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sns/client.hpp"
#include "sns/storage.hpp"

namespace sessionfs::sns {

inline constexpr std::int64_t default_expiry_s = 86400;
inline constexpr std::int64_t max_expiry_s = 10LL * 365 * 86400;
inline constexpr std::size_t max_shown_endpoints = 10;  // of a member that is revoked; the others `snsd list` tells
inline constexpr std::size_t list_page = 4096;          // endpoints read at once, so that a slow reader holds up nobody

class AdminCommands {
 public:
  /// Adds the commands to `app`. `state` gives the folder, `domain` the domain that was asked for (empty: any); both
  /// are read when a command runs, and must live as long.
  AdminCommands(CLI::App& app, std::function<std::filesystem::path()> state, const std::string& domain);
  AdminCommands(const AdminCommands&) = delete;
  AdminCommands& operator=(const AdminCommands&) = delete;

  /// Whether one was asked for.
  [[nodiscard]] bool parsed() const { return run_ != nullptr; }
  /// Runs it. Throws std::runtime_error when it cannot be done.
  void run() const { run_(); }

 private:
  CLI::App* add(const std::string& name, const std::string& description, void (AdminCommands::*command)() const);
  void add_lists();
  void add_backups();
  [[nodiscard]] Storage attach() const;

  void token() const;
  void members() const;
  void revoke() const;
  static void revoke_member(Storage& storage, MemberId id);
  static void revoke_endpoint(Storage& storage, const EndpointName& name);
  void list() const;
  void show() const;
  void export_all() const;
  void import_all() const;

  CLI::App& app_;
  std::function<std::filesystem::path()> state_;
  const std::string& domain_;
  std::function<void()> run_;

  std::int64_t expiry_s_ = default_expiry_s;
  std::vector<std::string> addresses_;
  std::string what_;  // to revoke
  std::string pattern_;
  MemberId member_ = 0;
  std::string name_;
  std::string file_;
};

/// "[::1]:4701" of an address in numbers; nothing when it is none.
std::optional<asio::ip::tcp::endpoint> parse_numeric(const std::string& text);

/// Where a server listens when nothing else is said.
inline constexpr const char* default_listen = "[::]:4701";

}  // namespace sessionfs::sns
