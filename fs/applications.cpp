#include "fs/applications.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <utility>

#include "fs/child.hpp"
#include "fs/files.hpp"
#include "fs/places.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::string_view state_prefix = ".state.";

bool is_application_name(std::string_view name) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
  return !name.empty() && name.size() <= max_application_bytes && std::ranges::all_of(name, fits);
}

std::string fault_of_owner(const struct stat& st) {
  if (st.st_uid != ::geteuid() && st.st_uid != 0) return "belongs to another user; make it your own with chown";
  if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) return "can be written by others; take that away with chmod go-w";
  return "";
}

struct StateFolder {
  std::vector<ApplicationState> states;  // sorted
  bool too_many = false;                 // not all entries were looked at
  int error = 0;
};

// Of what strangers may have made: no symbolic link is followed, and only plain files count.
StateFolder states_in(const std::filesystem::path& storage) {
  StateFolder found;
  const int descriptor = ::open(storage.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR* folder = descriptor < 0 ? nullptr : ::fdopendir(descriptor);
  if (folder == nullptr) {
    found.error = errno;
    if (descriptor >= 0) ::close(descriptor);
    return found;
  }
  const std::unique_ptr<DIR, void (*)(DIR*)> closer(folder, [](DIR* open) { ::closedir(open); });
  std::size_t seen = 0;
  errno = 0;
  while (const dirent* entry = ::readdir(folder)) {
    if (++seen > max_state_folder_entries) {
      found.too_many = true;
      break;
    }
    auto state = ApplicationState::parse(entry->d_name);
    struct stat st {};
    if (state && ::fstatat(::dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
      found.states.push_back(std::move(*state));
    errno = 0;
  }
  if (!found.too_many) found.error = errno;
  std::ranges::sort(found.states);
  return found;
}

}  // namespace

std::optional<ApplicationState> ApplicationState::parse(std::string_view file_name) {
  if (!file_name.starts_with(state_prefix)) return std::nullopt;
  file_name.remove_prefix(state_prefix.size());
  const auto dot = file_name.find('.');
  if (dot == std::string_view::npos || !is_application_name(file_name.substr(0, dot))) return std::nullopt;
  const auto digits = file_name.substr(dot + 1);
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.front() == '0' ||
      number > max_state_number)
    return std::nullopt;
  return ApplicationState{std::string(file_name.substr(0, dot)), number};
}

std::string fault_of_application(const std::filesystem::path& apps_folder, const std::string& application,
                                 const std::filesystem::path& mountpoint) {
  const auto program = apps_folder / application;
  const std::string named = one_line(program.string());
  std::string missing = "the program " + application + " is not allowed here; put it into " +
                        one_line(apps_folder.string()) + " to allow it";
  if (leads_into(apps_folder, mountpoint) || leads_into(program, mountpoint))
    return named + " is not run: it lies in the mount of sessionfs itself; put the program elsewhere";
  struct stat st {};
  if (::stat(apps_folder.c_str(), &st) != 0 && errno == ENOENT) return missing;
  if (!S_ISDIR(st.st_mode)) return one_line(apps_folder.string()) + " is no folder that can be read; no program is run";
  if (const auto fault = fault_of_owner(st); !fault.empty())
    return "no program in " + one_line(apps_folder.string()) + " is run: that folder " + fault;
  if (::stat(program.c_str(), &st) != 0) {
    if (errno == ENOENT && ::lstat(program.c_str(), &st) != 0) return missing;
    return named + " is not run: it cannot be read, or links to nothing; put the program there again";
  }
  if (!S_ISREG(st.st_mode)) return named + " is not run: it is no program but a folder or the like; put one there";
  if (const auto fault = fault_of_owner(st); !fault.empty()) return named + " is not run: it " + fault;
  if (::faccessat(AT_FDCWD, program.c_str(), X_OK, AT_EACCESS) != 0)
    return named + " is not run: it is not executable; make it so with chmod +x";
  return "";
}

void Applications::start_for(const EndpointName& name, const std::filesystem::path& storage) {
  const auto found = states_in(storage);
  if (found.error != 0)
    spdlog::warn("{}: not all states of its applications can be found: {}: {}", name.str(), one_line(storage.string()),
                 std::strerror(found.error));
  if (found.too_many)
    spdlog::warn("{}: holds too many files to look for states of applications behind the first {}", name.str(),
                 max_state_folder_entries);
  const std::size_t count = std::min(found.states.size(), max_started_states);
  for (std::size_t at = 0; at < count; ++at) start(name, found.states[at]);
  if (count < found.states.size())
    spdlog::warn("{}: {} states of applications from {} on start nothing; {} are the most for one load", name.str(),
                 found.states.size() - count, found.states[count].str(), max_started_states);
}

void Applications::start(const EndpointName& name, const ApplicationState& state) {
  const std::string whose = name.str() + ": " + state.str();
  if (const auto fault = fault_of_application(apps_folder_, state.application, mountpoint_); !fault.empty())
    return spdlog::warn("{}: {}", whose, fault);
  const auto program = apps_folder_ / state.application;
  spdlog::info("{}: starts {}", whose, one_line(program.string()));
  start_child(io_,
              {program.string(), "--ep", name.str(), "--statefile", (mountpoint_ / name.str() / state.str()).string()},
              {"SESSIONFS_MOUNT=" + mountpoint_.string()}, [whose, program](int status, const std::string& said) {
                if (!said.empty()) {
                  spdlog::warn("{}: {} does not run: {}", whose, one_line(program.string()), said);
                } else if (status != 0) {
                  spdlog::warn("{}: its program has ended with status {}", whose, status);
                }
              });
}

}  // namespace sessionfs::fs
