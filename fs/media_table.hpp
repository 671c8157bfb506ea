// Which sticks there are, and what is to be done with them: decisions alone, from what udev and the mount table tell.
//
// A device that the rules have tagged (udev-rules/) is a medium. Where it is mounted by a desktop or a unit it is used
// as it is; otherwise the daemon mounts it, if it may. That a medium is gone is believed of the device's removal and of
// the mount table, never of what its folder shows: a pulled vfat looks empty.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/mount_table.hpp"

namespace sessionfs::fs {

struct Device {
  DeviceNumber number;
  std::string node;  // /dev/sdb1
  std::string disk;  // /dev/sdb, of a partition
  std::string type;  // of the file system; empty: there is none
  std::string uuid;
  std::string label;
};

struct Medium {
  enum class State : std::uint8_t {
    unmounted,  // nobody has mounted it yet
    mounting,   // we do
    mounted,
    failed,   // we could not
    ejected,  // it may be taken out
  };
  Device device;
  State state = State::unmounted;
  std::filesystem::path root;  // where it is, or will be, mounted
  bool ours = false;           // we have mounted it
  std::string why;             // it has failed
};

struct MediaAction {
  enum class Kind : std::uint8_t {
    mount,    // device at `root`, then mount_ended()
    let_go,   // the mount at `root` is dead: unmount it without waiting
    came,     // `root` can be used
    went,     // it cannot any more
    complain  // `why`
  };
  Kind kind{};
  Device device;
  std::filesystem::path root;
  std::string why;
};

class MediaTable {
 public:
  /// `mounts_root`: where we mount them, each in a folder of its own; empty: we do not.
  explicit MediaTable(std::filesystem::path mounts_root) : mounts_root_(std::move(mounts_root)) {}

  std::vector<MediaAction> device_is_there(const Device& device);
  std::vector<MediaAction> device_is_gone(const DeviceNumber& number);
  std::vector<MediaAction> mounted(const std::vector<MountEntry>& table);
  std::vector<MediaAction> mount_ended(const DeviceNumber& number, bool is_mounted, const std::string& why);
  /// It was saved and unmounted, and is not mounted again before it comes anew.
  void ejected(const DeviceNumber& number);

  /// By its node, its disk's node, its label, its UUID, or the folder where it is mounted. Null: there is none.
  [[nodiscard]] const Medium* find(std::string_view what) const;
  [[nodiscard]] const std::map<DeviceNumber, Medium>& all() const { return media_; }
  /// Lines for `status`.
  [[nodiscard]] std::vector<std::string> text() const;

 private:
  void settle(Medium& medium, std::vector<MediaAction>& actions);
  void lose(Medium& medium, std::vector<MediaAction>& actions);
  [[nodiscard]] std::filesystem::path folder_for(const Device& device) const;

  std::filesystem::path mounts_root_;
  std::map<DeviceNumber, Medium> media_;
  std::vector<MountEntry> mounts_;
};

}  // namespace sessionfs::fs
