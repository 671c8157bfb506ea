#include "fs/applications.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "fs/child.hpp"
#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::string_view state_prefix = ".state.";
constexpr std::size_t max_application_name = 63;
constexpr std::size_t max_digits = 6;

struct StorageCloser {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

bool is_name_character(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

// Nobody but this user and root may say what is in it.
bool is_trusted(const struct stat& st) {
  return (st.st_uid == ::geteuid() || st.st_uid == 0) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

}  // namespace

std::optional<std::string_view> application_of(std::string_view file_name) {
  if (!file_name.starts_with(state_prefix)) return std::nullopt;
  file_name.remove_prefix(state_prefix.size());
  const auto dot = file_name.find('.');
  if (dot == 0 || dot == std::string_view::npos || dot > max_application_name) return std::nullopt;
  const auto name = file_name.substr(0, dot);
  const auto number = file_name.substr(dot + 1);
  if (!std::ranges::all_of(name, is_name_character)) return std::nullopt;
  if (number.empty() || number.size() > max_digits || number[0] == '0') return std::nullopt;
  if (!std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  return name;
}

void Applications::start_for(const EndpointName& endpoint, const std::filesystem::path& storage) {
  const int descriptor = ::open(storage.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  const std::unique_ptr<DIR, StorageCloser> folder(descriptor < 0 ? nullptr : ::fdopendir(descriptor));
  if (!folder) return;
  std::vector<std::string> states;
  for (std::size_t seen = 0; seen < max_looked_at; ++seen) {
    const dirent* entry = ::readdir(folder.get());
    if (entry == nullptr) break;
    struct stat st {};
    if (!application_of(entry->d_name) || ::fstatat(descriptor, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(st.st_mode)) states.emplace_back(entry->d_name);
  }
  std::ranges::sort(states);
  if (states.size() > max_applications) {
    spdlog::warn("{}: has {} states of applications; the first {} are started", endpoint.str(), states.size(),
                 max_applications);
    states.resize(max_applications);
  }
  for (const auto& state : states) start(endpoint, state);
}

// Empty: it is allowed.
std::string Applications::why_not(const std::filesystem::path& program) const {
  struct stat st {};
  if (::stat(program.c_str(), &st) != 0)
    return "is not allowed here; to allow it, put the program into " + one_line(folder_.string());
  if (!S_ISREG(st.st_mode) || ::access(program.c_str(), X_OK) != 0)
    return "is no program in " + one_line(folder_.string());
  struct stat folder {};
  if (!is_trusted(st) || ::stat(folder_.c_str(), &folder) != 0 || !is_trusted(folder))
    return "is not started: others may write to it, or to " + one_line(folder_.string());
  return "";
}

void Applications::start(const EndpointName& endpoint, const std::string& state_file) {
  const std::string name(*application_of(state_file));
  const auto program = folder_ / name;
  const std::string whose = endpoint.str() + ": " + state_file + ": the application " + name + " ";
  if (const auto reason = why_not(program); !reason.empty()) return spdlog::warn("{}{}", whose, reason);
  spdlog::info("{}is started", whose);
  start_child(
      io_,
      {program.string(), "--ep", endpoint.str(), "--statefile", (mountpoint_ / endpoint.str() / state_file).string()},
      {"SESSIONFS_MOUNT=" + mountpoint_.string()}, [whose](int status) {
        if (status != 0) spdlog::warn("{}has ended with the exit status {}", whose, status);
      });
}

}  // namespace sessionfs::fs
