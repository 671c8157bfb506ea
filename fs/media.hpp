// Sticks: what udev tells of them, and the programs that mount and unmount them (thesis 4.7.1).
//
// udev's rules tag what counts (udev-rules/). With systemd a unit mounts it, on a desktop its own service; a daemon of
// root's where there is no systemd mounts it itself, `nosuid,nodev,noexec`. Nothing here waits for a medium: what may
// hang is done by other programs.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fs/media_table.hpp"
#include "fs/mount_table.hpp"

struct udev;
struct udev_device;
struct udev_monitor;

namespace sessionfs::fs {

/// The tag that udev's rules give to media.
inline constexpr const char* medium_tag = "sessionfs";
/// A mount that takes longer has failed.
inline constexpr std::chrono::minutes mount_limit{2};

class Media {
 public:
  using Done = std::function<void(int error, const std::string& why)>;
  struct Hooks {
    std::function<void(const std::filesystem::path& root)> came;  // a medium can be used
    std::function<void(const std::filesystem::path& root)> went;  // it cannot any more, perhaps without a warning
  };

  /// `mounts_root`: the folder for media that the daemon mounts itself, which it does as root without systemd. Without
  /// udev there are no media.
  Media(boost::asio::io_context& io, const std::filesystem::path& mounts_root, Hooks hooks);
  ~Media();
  Media(const Media&) = delete;
  Media& operator=(const Media&) = delete;

  /// Tells of the media that are there already, and of all that come and go from now on.
  void start();

  /// By its device, label, UUID, or the folder where it is mounted. Null: there is none.
  [[nodiscard]] const Medium* find(std::string_view what) const { return table_.find(what); }
  /// Brings it to the disk and unmounts it. Nothing of it may be in use. EBUSY: somebody else uses it.
  void eject(const Medium& medium, Done done);
  /// Lines for `status`.
  [[nodiscard]] std::vector<std::string> text() const { return table_.text(); }

 private:
  void wait();
  void take(udev_device* device);
  void perform(const std::vector<MediaAction>& actions);
  void mount(const MediaAction& action);
  void let_go(const std::filesystem::path& root);
  void unmount(const DeviceNumber& number, const Device& device, const std::filesystem::path& root, Done done);

  boost::asio::io_context& io_;
  Hooks hooks_;
  MediaTable table_;
  std::unique_ptr<MountWatch> mounts_;
  std::unique_ptr<udev, udev* (*)(udev*)> udev_;
  std::unique_ptr<udev_monitor, udev_monitor* (*)(udev_monitor*)> monitor_;
  boost::asio::posix::stream_descriptor events_;
};

}  // namespace sessionfs::fs
