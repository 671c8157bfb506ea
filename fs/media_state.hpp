// What is known of the media that can be plugged in and out (sticks, cards, USB disks), and what is to be done with
// them. Pure: what udev and the kernel's mount table say goes in by handle_*, what is to be done comes out of
// poll_action().
//
// udev alone says whether a device is there, the mount table alone whether and where it is mounted. The medium is never
// asked: after a pull its file system goes on listing names, or an empty folder, or does not answer at all.
//
//   unmounted  nobody has it mounted, and it is not to be mounted by us before it is plugged in anew
//   waiting    to be mounted, once the folder that it needs is let go
//   mounting   our mount(8) is running
//   mounted    it can be used, whoever has mounted it
//   ejecting   it is being synced and unmounted
//   ejected    it was, and stays so until it is plugged in anew
//   failed     our mount(8) has failed; it is not tried again before it is plugged in anew, or holds something else
//   unsupported  a file system that we do not mount
//   system     a part of its disk belongs to the running system (mounted at /, /boot, ...): it is left alone
//   superseded the same file system has come as another device: this one is a leftover, or a copy
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fs/mount_table.hpp"

namespace sessionfs::fs {

/// More media than this at a time are not looked at.
inline constexpr std::size_t max_media = 256;
/// A medium that is mounted at several places is unmounted from so many when it is ejected.
inline constexpr int max_unmounts = 16;

/// What udev says of a device with a file system.
struct MediumDevice {
  std::string node;                // /dev/sdb1
  std::string disk;                // /dev/sdb; the node itself when it is no partition
  std::vector<std::string> links;  // its other names, /dev/disk/by-...
  unsigned major = 0;
  unsigned minor = 0;
  std::uint64_t sequence = 0;  // the kernel's number of this plugging in (DISKSEQ); 0: it does not say
  std::string uuid;            // of the file system; this and the next may be empty
  std::string label;
  std::string type;  // as blkid(8) names it

  friend bool operator==(const MediumDevice&, const MediumDevice&) = default;
};

enum class MediumState : std::uint8_t {
  unmounted,
  waiting,
  mounting,
  mounted,
  ejecting,
  ejected,
  failed,
  unsupported,
  system,
  superseded
};
std::string_view name_of(MediumState state);

/// In UUIDs of file systems case does not count.
bool same_uuid(std::string_view a, std::string_view b);

struct Medium {
  MediumDevice device;
  MediumState state = MediumState::unmounted;
  std::filesystem::path root;  // where it is mounted; empty: it is not
  bool ours = false;           // we have mounted it
  std::string why;             // one line, of `failed`, `unsupported` and `system`
};

struct FoundMedia {
  std::vector<Medium> media;  // at least one when error is 0
  int error = 0;
  std::string why;
};

/// What is to be done. Of `folder`, `node` and `root`: those in the medium that it is about.
struct MountMedium {
  std::string node;
  std::filesystem::path folder;    // to be made, for every user to see
  std::vector<std::string> types;  // the first that the system knows
  std::string options;
};
/// Unmount lazily, whoever still uses it.
struct LetGoMedium {
  std::filesystem::path folder;
};
struct RemoveMediumFolder {
  std::filesystem::path folder;
};
struct SyncMedium {
  std::uint64_t turn;
  std::filesystem::path root;
};
struct UnmountMedium {
  std::uint64_t turn;
  std::string node;
  std::filesystem::path root;
};
struct MediumCame {
  std::filesystem::path root;
};
struct MediumWent {
  std::filesystem::path root;
};
/// begin_eject() with this ticket is over; error is an errno, 0 for success.
struct MediumEjected {
  std::uint64_t ticket;
  int error;
  std::string why;
};
/// For the log.
struct MediaWords {
  bool warning;
  std::string text;
};
using MediaAction = std::variant<MountMedium, LetGoMedium, RemoveMediumFolder, SyncMedium, UnmountMedium, MediumCame,
                                 MediumWent, MediumEjected, MediaWords>;

struct MediaSettings {
  std::filesystem::path mount_root;  // media are mounted in folders of it, which nobody else uses
  bool may_mount = false;            // else they are only noticed when others mount them
  unsigned uid = 0;                  // who owns what is on file systems without owners, and whose FUSE mounts count
  unsigned gid = 0;
};

class MediaState {
 public:
  explicit MediaState(MediaSettings settings);

  /// What is mounted now. To be called before any other handle_*(), when that may have changed.
  void handle_table(MountTable table);
  /// It is there, and is one of ours. `added`: it has just come, as far as udev knows.
  void handle_device(const MediumDevice& device, bool added);
  /// It is not there any more, or no more one of ours.
  void handle_removed(const std::string& node);
  /// All devices that are there have been told; nothing is mounted before. What is mounted in mount_root without one is
  /// left from earlier.
  void handle_all_told();

  /// MountMedium is over.
  void handle_mounted(const std::filesystem::path& folder, bool success, const std::string& why);
  /// LetGoMedium is over, however it went.
  void handle_let_go(const std::filesystem::path& folder);
  /// SyncMedium and UnmountMedium are over.
  void handle_synced(std::uint64_t turn, bool success, const std::string& why);
  void handle_unmounted(std::uint64_t turn, bool success, const std::string& why);

  /// Makes it safe to unplug; a MediumEjected with the same ticket follows.
  void begin_eject(const std::string& node, std::uint64_t ticket);

  [[nodiscard]] std::optional<MediaAction> poll_action();

  /// The medium with this device (its node, with or without /dev/, or another of its names), the media on this disk
  /// (those that are mounted, when there are some), or the one with this UUID, mount folder or label. ENODEV: there is
  /// none. EINVAL: several have that label.
  [[nodiscard]] FoundMedia find(const std::string& what) const;
  [[nodiscard]] std::vector<Medium> all() const;

 private:
  struct Known : Medium {
    std::filesystem::path folder;  // of `waiting`, `mounting`, and `mounted` by us
    std::uint64_t turn = 0;        // of `ejecting`, as the next two
    std::uint64_t ticket = 0;
    int unmounts = 0;
  };
  using Media = std::map<std::string, Known>;  // by node
  using Matches = std::vector<const MountEntry*>;

  [[nodiscard]] bool is_mount_of(const MountEntry& entry, const Medium& medium) const;
  [[nodiscard]] bool is_our_place(const std::filesystem::path& where) const;
  [[nodiscard]] Matches mounts_of(const Medium& medium) const;
  [[nodiscard]] Matches reachable(Matches mounts) const;
  [[nodiscard]] bool belongs_to_system(const Medium& medium) const;
  [[nodiscard]] std::filesystem::path folder_for(const Medium& medium) const;
  Known* find_turn(std::uint64_t turn);

  void look_at_all();
  void look_if_gone(Known& medium);
  void look(Known& medium);
  void begin(Known& medium);
  void mount(Known& medium);
  void came(Known& medium, const MountEntry& entry);
  void went(Known& medium);
  void forget(Known& medium, const std::string& why);
  void let_go(const std::filesystem::path& folder);
  static bool is_twin(const MediumDevice& one, const MediumDevice& other);
  [[nodiscard]] bool is_older(const Medium& medium) const;
  void supersede_others(const Known& medium);
  void revive_twin(const MediumDevice& gone);
  void unmount_next(Known& medium, bool success, const std::string& why);
  void end_eject(Known& medium, int error, const std::string& why);
  void act(MediaAction action) { actions_.push_back(std::move(action)); }
  void say(const Known& medium, bool warning, const std::string& what);

  MediaSettings settings_;
  MountTable table_;
  Media media_;
  std::vector<MountEntry> stale_;                  // mounts of devices that have gone
  std::map<std::filesystem::path, bool> leaving_;  // folders on their way out; true: mount(8) is still running
  bool told_ = false;                              // before that the order in which devices are told must not count
  std::uint64_t last_turn_ = 0;
  std::deque<MediaAction> actions_;
};

}  // namespace sessionfs::fs
