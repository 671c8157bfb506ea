// What is mounted, as the kernel tells this process (proc_pid_mountinfo(5)). Nothing here touches a mounted file
// system: one whose device is gone may not answer.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sessionfs::fs {

/// Of a table that is larger only this much is read, which is some hundred thousand mounts.
inline constexpr std::size_t max_mount_table_bytes = std::size_t{32} << 20;
/// Changes that come together are told as one, this long after the first.
inline constexpr std::chrono::milliseconds mount_settle_ms{5};

struct MountEntry {
  std::uint64_t id = 0;  // the kernel gives it to another mount when this one has gone
  unsigned major = 0;    // 0: a file system that has no device for itself, such as one of Btrfs
  unsigned minor = 0;
  std::string root;  // the folder of the file system that is seen at `where`
  std::string where;
  std::string options;  // of this mount, comma-separated
  std::string type;
  std::string source;         // whatever the one who has mounted it has said; a device's node for most
  std::string super_options;  // of the file system

  friend bool operator==(const MountEntry&, const MountEntry&) = default;
};

/// In the order in which they were mounted, roughly. Lines that cannot be read as the kernel writes them are left out.
using MountTable = std::vector<MountEntry>;

MountTable parse_mount_table(std::string_view text);
/// Throws std::system_error.
MountTable read_mount_table();

/// Whether comma-separated mount options hold `option`, such as "ro" or "user_id=0".
bool has_mount_option(std::string_view options, std::string_view option);

class MountWatch {
 public:
  /// `on_change` is called from the loop after something was mounted, unmounted or moved: a hint to read the table.
  /// Throws std::system_error.
  MountWatch(boost::asio::io_context& io, std::function<void()> on_change);
  ~MountWatch();
  MountWatch(const MountWatch&) = delete;
  MountWatch& operator=(const MountWatch&) = delete;

 private:
  void wait();

  std::function<void()> on_change_;
  boost::asio::posix::stream_descriptor table_;
  boost::asio::steady_timer settle_;
  bool settling_ = false;
  std::shared_ptr<bool> ended_ = std::make_shared<bool>(false);  // for handlers that were on their way then
};

}  // namespace sessionfs::fs
