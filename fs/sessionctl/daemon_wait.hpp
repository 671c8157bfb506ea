// The daemon has ended, and may come back at the same place.
#pragma once

#include <filesystem>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {

/// Between two looks whether the daemon is back.
inline constexpr int mount_poll_ms = 100;

bool has_daemon(const std::filesystem::path& mount);

/// Whether an errno says that the daemon has ended, or was killed; its mount may have been taken away, too.
bool is_of_dead_mount(int number, const std::filesystem::path& mount);

/// Says that it waits, where it has to. A mount that is dead can be taken away only when nobody has a file of it open:
/// close it before. Throws Interrupted.
void wait_for_daemon(const std::filesystem::path& mount);

/// `work`, which throws Error, again as long as there is no daemon. Close the files of a dead mount before.
template <typename Work>
void with_daemon(const std::filesystem::path& mount, const Work& work) {
  while (true) {
    wait_for_daemon(mount);
    try {
      return work();
    } catch (const Error& error) {
      if (!is_of_dead_mount(error.number(), mount)) throw;
    }
  }
}

}  // namespace sessionfs::ctl
