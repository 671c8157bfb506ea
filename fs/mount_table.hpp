// What is mounted where, as the kernel tells this process (proc(5), /proc/pid/mountinfo).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <compare>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

namespace sessionfs::fs {

/// A block device's major and minor number.
struct DeviceNumber {
  unsigned major = 0;
  unsigned minor = 0;
  friend auto operator<=>(const DeviceNumber&, const DeviceNumber&) = default;
};

struct MountEntry {
  DeviceNumber device;         // of file systems in user space: none of a block device
  std::string part;            // which part of the file system is mounted; "/": all of it
  std::filesystem::path root;  // where
  std::string type;
  std::string source;  // mostly the device's node
};

/// Lines that are no mountinfo are skipped.
std::vector<MountEntry> read_mount_table(std::istream& mountinfo);

class MountWatch {
 public:
  /// `on_change` is called with all that is mounted, once soon after the start and then after each change, from the
  /// loop. Throws boost::system::system_error without /proc.
  MountWatch(boost::asio::io_context& io, std::function<void(const std::vector<MountEntry>&)> on_change);

  /// As it is now.
  static std::vector<MountEntry> read();

 private:
  void wait();

  boost::asio::posix::stream_descriptor mountinfo_;
  std::function<void(const std::vector<MountEntry>&)> on_change_;
};

}  // namespace sessionfs::fs
