// Media that are plugged in and pulled out: mounts them where nobody else does, says when one has come and gone, and
// makes it safe to unplug one. What is decided is decided in MediaState; this does what it says.
//
// udev tells which devices are media (the tag `sessionfs`, udev-rules/70-sessionfs.rules), the kernel's mount table
// where they are mounted. A medium that a desktop, fstab(5) or a person has mounted is used where it is. One that
// nobody has mounted is mounted below mount_root, when this runs as root and there is no systemd: with systemd the unit
// sessionfs-medium@.service does it. The mounts stay when the daemon ends, and are found again by the next.
//
// In the daemon:
//
//   Media media(io, "/run/sessionfs/media",
//               {.came = [&](const auto& root) { travel.medium_came(root); },
//                .went = [&](const auto& root) { travel.medium_went(root); }});
//   media.start();
//
// and for `eject DEVICE`, so that what lives on the medium ends its residence before its folder goes:
//
//   const auto found = media.find(device);          // error, why; each of found.media that has a root:
//   travel.save_all_on(root, [&](int error, const std::string& why) {
//     error == 0 ? media.eject(device, done) : done(error, why);
//   });
//
// Every came() is followed by one went() of the same root: when the medium was pulled, unmounted by anybody, or
// ejected. After it nothing at `root` may be believed: there may be an old list of names, an empty folder, or no answer
// at all.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/media_state.hpp"
#include "fs/media_udev.hpp"
#include "fs/mount_table.hpp"

namespace sessionfs::fs {

/// mount(8) and umount(8) are killed after this; a journal may have to be replayed first.
inline constexpr std::chrono::minutes mount_limit_min{2};
/// A stick may be slow, and much may wait to be written.
inline constexpr std::chrono::minutes sync_limit_min{15};

class Media {
 public:
  struct Hooks {
    /// A medium is mounted, `root` is its root folder.
    std::function<void(const std::filesystem::path& root)> came;
    /// It is not there any more. Called at once, also when something of it is still in use.
    std::function<void(const std::filesystem::path& root)> went;
  };
  /// `error` is an errno, 0 for success; `why` is one line for people, empty for success.
  using Done = std::function<void(int error, const std::string& why)>;

  /// Without `may_mount` nothing is ever mounted here. Nothing happens before start().
  Media(boost::asio::io_context& io, const std::filesystem::path& mount_root, Hooks hooks, bool may_mount = true);
  ~Media();
  Media(const Media&) = delete;
  Media& operator=(const Media&) = delete;

  /// From here on the hooks are called, from the loop and from here. Without udev it only says so in the log.
  void start();

  /// What `what` names: a device (/dev/sdb1, or another name of it in /dev/disk), a whole disk (its partitions), the
  /// UUID or label of a file system, or the folder where it is mounted. ENODEV, EINVAL: `why` says what there is.
  [[nodiscard]] FoundMedia find(const std::string& what) const { return state_.find(what); }

  /// Writes all that waits to be written to it, and unmounts it; it is not mounted here again before it is plugged in
  /// anew. EBUSY: somebody uses it, `why` says where; it stays as it is. EIO: not all could be written; it stays, too.
  /// `done` is called once, later, after went().
  void eject(const std::string& what, Done done);

  [[nodiscard]] std::vector<Medium> all() const { return state_.all(); }
  /// A line for each medium, in the order of devices: device, label, UUID, file system, where it is mounted, state, and
  /// after it why. What is empty is `-`; blanks and what is no plain character are written as in /proc/mounts (\040).
  [[nodiscard]] std::vector<std::string> text() const;

 private:
  void act();
  void read_table();
  void read_devices();
  void mount(const MountMedium& what, std::size_t attempt);
  void unmount(const UnmountMedium& what);
  void run(std::vector<std::string> command, std::chrono::milliseconds limit,
           std::function<void(bool success, const std::string& said)> done);
  void eject_next(std::vector<std::string> nodes, const Done& done);
  void end_eject(const MediumEjected& ejected);

  boost::asio::io_context& io_;
  std::filesystem::path mount_root_;
  Hooks hooks_;
  MediaState state_;
  std::optional<MountWatch> mounts_;
  std::optional<UdevWatch> devices_;
  std::map<std::uint64_t, Done> ejecting_;  // by ticket
  std::uint64_t last_ticket_ = 0;
  bool acting_ = false;
  std::shared_ptr<bool> ended_ = std::make_shared<bool>(false);  // for handlers that were on their way then
};

}  // namespace sessionfs::fs
