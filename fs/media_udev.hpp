// Block devices with a file system that a udev rule has tagged (udev-rules/70-sessionfs.rules), as udev tells of them.
//
// Filtered by the tag in the kernel, so that nobody else's devices cost anything.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/media_state.hpp"

struct udev;
struct udev_device;
struct udev_monitor;

namespace sessionfs::fs {

inline constexpr const char* medium_tag = "sessionfs";
/// So many events are taken before others of the loop have their turn.
inline constexpr int max_udev_events_at_once = 64;
/// Of one device at most so many other names are kept.
inline constexpr std::size_t max_medium_links = 32;

class UdevWatch {
 public:
  struct Hooks {
    /// It has come (`added`) or changed.
    std::function<void(const MediumDevice&, bool added)> present;
    /// It has gone, or is tagged no more.
    std::function<void(const std::string& node)> gone;
    /// Events were lost: all() is to be read again.
    std::function<void()> lost;
  };
  /// Throws std::runtime_error without udev's library, netlink or descriptors. Whether udevd runs it cannot tell: it
  /// may come later.
  UdevWatch(boost::asio::io_context& io, Hooks hooks);
  ~UdevWatch();
  UdevWatch(const UdevWatch&) = delete;
  UdevWatch& operator=(const UdevWatch&) = delete;

  /// The tagged devices that are there now.
  [[nodiscard]] std::vector<MediumDevice> all() const;

 private:
  void wait();
  void receive();
  void tell(udev_device* device);

  Hooks hooks_;
  std::unique_ptr<udev, udev* (*)(udev*)> udev_;
  std::unique_ptr<udev_monitor, udev_monitor* (*)(udev_monitor*)> monitor_;
  boost::asio::posix::stream_descriptor descriptor_;
  std::shared_ptr<bool> ended_ = std::make_shared<bool>(false);  // for handlers that were on their way then
};

}  // namespace sessionfs::fs
