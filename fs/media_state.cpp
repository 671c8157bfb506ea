#include "fs/media_state.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

// A file system that the kernel takes for itself, and what it is mounted as.
struct MountableType {
  std::string_view type;
  std::array<std::string_view, 2> mounted_as;
  std::string_view options;
  bool owners;  // it keeps them
};
// Of vfat: names as they are written, in UTF-8; `flush` shortens the time in which a pull loses something.
// exfat-fuse is for kernels without exfat.
constexpr auto mountable_types = std::to_array<MountableType>({
    {"vfat", {"vfat"}, "utf8=1,shortname=mixed,flush", false},
    {"exfat", {"exfat", "exfat-fuse"}, "", false},
    {"ntfs", {"ntfs3"}, "", false},
    {"ntfs3", {"ntfs3"}, "", false},
    {"ext2", {"ext2"}, "", true},
    {"ext3", {"ext3"}, "", true},
    {"ext4", {"ext4"}, "", true},
    {"btrfs", {"btrfs"}, "", true},
    {"xfs", {"xfs"}, "", true},
    {"f2fs", {"f2fs"}, "", true},
});

const MountableType* mountable(const std::string& type) {
  const auto found = std::ranges::find(mountable_types, type, &MountableType::type);
  return found == mountable_types.end() ? nullptr : &*found;
}

// Where a running system has its own file systems.
bool is_system_place(std::string_view where) {
  constexpr auto places = std::to_array<std::string_view>(
      {"/boot", "/efi", "/etc", "/home", "/nix", "/opt", "/root", "/sysroot", "/tmp", "/usr", "/var"});
  if (where.starts_with("/boot/") || where == "/") return true;
  return std::ranges::find(places, where) != places.end();
}

// It comes from the stick.
bool is_folder_name(const std::string& text) {
  constexpr std::size_t max_folder_name = 64;
  return !text.empty() && text.size() <= max_folder_name && text.front() != '.' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
                  c == '.';
         });
}

bool same_mount(const MountEntry& a, const MountEntry& b) {  // options may change
  return a.id == b.id && a.major == b.major && a.minor == b.minor && a.root == b.root && a.where == b.where &&
         a.source == b.source;
}

}  // namespace

std::string_view name_of(MediumState state) {
  constexpr auto names = std::to_array<std::string_view>({"unmounted", "waiting", "mounting", "mounted", "ejecting",
                                                          "ejected", "failed", "unsupported", "system", "superseded"});
  return names.at(static_cast<std::size_t>(state));
}

bool same_uuid(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

MediaState::MediaState(MediaSettings settings) : settings_(std::move(settings)) {
  settings_.mount_root = settings_.mount_root.lexically_normal();
  if (!settings_.mount_root.has_filename()) settings_.mount_root = settings_.mount_root.parent_path();
}

// --- The mount table ---------------------------------------------------------------------------------------------

// What has no device for itself in the table is known by its source. That is as true as the one who has mounted it:
// root, or we ourselves.
bool MediaState::is_mount_of(const MountEntry& entry, const Medium& medium) const {
  const MediumDevice& device = medium.device;
  if (entry.major != 0) return entry.major == device.major && entry.minor == device.minor;
  if (entry.source != device.node && std::ranges::find(device.links, entry.source) == device.links.end()) return false;
  if (entry.type == "btrfs") return true;
  if (entry.type != "fuse" && !entry.type.starts_with("fuse.")) return false;
  return has_mount_option(entry.super_options, "user_id=0") ||
         has_mount_option(entry.super_options, "user_id=" + std::to_string(settings_.uid));
}

bool MediaState::is_our_place(const std::filesystem::path& where) const {
  return settings_.may_mount && where.parent_path() == settings_.mount_root;
}

// The one to use comes first.
MediaState::Matches MediaState::mounts_of(const Medium& medium) const {
  Matches matches;
  for (const auto& entry : table_) {
    const auto same = [&](const MountEntry& each) { return same_mount(each, entry); };
    if (is_mount_of(entry, medium) && std::ranges::none_of(stale_, same) && !leaving_.contains(entry.where))
      matches.push_back(&entry);
  }
  std::stable_partition(matches.begin(), matches.end(), [](const MountEntry* each) { return each->root == "/"; });
  return matches;
}

// What something else is mounted over cannot be reached.
MediaState::Matches MediaState::reachable(Matches mounts) const {
  std::erase_if(mounts, [&](const MountEntry* each) {
    const auto covers = [&](const MountEntry& later) { return &later > each && later.where == each->where; };
    return std::ranges::any_of(table_, covers);
  });
  return mounts;
}

bool MediaState::belongs_to_system(const Medium& medium) const {
  const auto on_system = [&](const auto& each) {
    return each.second.device.disk == medium.device.disk &&
           std::ranges::any_of(mounts_of(each.second), [](const auto* entry) { return is_system_place(entry->where); });
  };
  return std::ranges::any_of(media_, on_system);
}

void MediaState::handle_table(MountTable table) {
  table_ = std::move(table);
  std::erase_if(stale_, [&](const MountEntry& old) {
    return std::ranges::none_of(table_, [&](const MountEntry& each) { return same_mount(each, old); });
  });
  look_at_all();
}

// Those that have gone first: another may be where one was.
void MediaState::look_at_all() {
  for (auto& [node, medium] : media_)
    if (medium.state == MediumState::mounted) look_if_gone(medium);
  for (auto& [node, medium] : media_) look(medium);
}

void MediaState::look_if_gone(Known& medium) {
  const auto here = [&](const MountEntry* each) { return each->where == medium.root; };
  if (std::ranges::any_of(reachable(mounts_of(medium)), here)) return;
  const bool was_ours = medium.ours;
  const auto folder = medium.root;
  went(medium);
  if (was_ours) act(RemoveMediumFolder{folder});
}

// Follows what the table says of it.
void MediaState::look(Known& medium) {
  if (medium.state == MediumState::mounting || medium.state == MediumState::ejecting) return;
  const auto mounts = mounts_of(medium);
  if (!mounts.empty() && belongs_to_system(medium)) {
    if (!medium.root.empty()) went(medium);
    medium.state = MediumState::system;
    medium.why = "its disk holds a part of the running system";
    return;
  }
  if (!medium.root.empty()) look_if_gone(medium);
  if (!medium.root.empty()) return;
  if (medium.state == MediumState::system && mounts.empty() && !belongs_to_system(medium)) {
    medium.state = MediumState::unmounted;
    medium.why.clear();
  }
  // One that is being ejected has gone only when that is over.
  const auto is_free = [&](const MountEntry* mount) {
    return std::ranges::none_of(media_, [&](const auto& each) { return each.second.root == mount->where; });
  };
  const auto usable = reachable(mounts);
  const auto first = std::ranges::find_if(usable, is_free);
  if (first != usable.end()) came(medium, **first);
}

void MediaState::came(Known& medium, const MountEntry& entry) {
  medium.root = entry.where;
  medium.ours = is_our_place(medium.root);
  medium.folder = medium.ours ? medium.root : std::filesystem::path();
  medium.state = MediumState::mounted;
  medium.why.clear();
  say(medium, false, "is mounted at " + one_line(entry.where));
  act(MediumCame{medium.root});
}

// The medium may still be there, then nobody has it mounted.
void MediaState::went(Known& medium) {
  say(medium, false, "is no longer at " + one_line(medium.root.string()));
  act(MediumWent{medium.root});
  medium.root.clear();
  medium.folder.clear();
  medium.ours = false;
  medium.state = MediumState::unmounted;
}

// --- Devices -----------------------------------------------------------------------------------------------------

void MediaState::handle_device(const MediumDevice& device, bool added) {
  auto found = media_.find(device.node);
  if (found != media_.end()) {
    Known& medium = found->second;
    const MediumDevice& before = medium.device;
    const bool replugged = before.sequence != 0 && device.sequence != 0 && before.sequence != device.sequence;
    const bool other_node = before.major != device.major || before.minor != device.minor;
    const bool other_content = medium.root.empty() && medium.state != MediumState::mounting &&
                               (before.uuid != device.uuid || before.type != device.type);
    if (replugged || other_node || other_content) {
      forget(medium, "was plugged in anew");
      media_.erase(found);
      found = media_.end();
    }
  }
  if (found == media_.end()) {
    if (media_.size() >= max_media) return;
    Known& medium = media_[device.node];
    medium.device = device;
    if (is_older(medium)) {
      medium.state = MediumState::superseded;
      return;
    }
    supersede_others(medium);
    return begin(medium);
  }
  Known& medium = found->second;
  medium.device = device;
  const bool busy = !medium.root.empty() || medium.state == MediumState::mounting ||
                    medium.state == MediumState::waiting || medium.state == MediumState::ejecting;
  if (added && !busy && medium.state != MediumState::superseded) return begin(medium);
  look(medium);
}

// Another device with the same file system. Partitions of one disk are plugged in together.
bool MediaState::is_twin(const MediumDevice& one, const MediumDevice& other) {
  return one.disk != other.disk && !one.uuid.empty() && same_uuid(one.uuid, other.uuid);
}

// udev works on several devices at a time: what was pulled may be told after what was plugged in later.
bool MediaState::is_older(const Medium& medium) const {
  return medium.device.sequence != 0 && std::ranges::any_of(media_, [&](const auto& each) {
           return is_twin(medium.device, each.second.device) && each.second.device.sequence > medium.device.sequence;
         });
}

// Plugged in again, it is another device to the kernel while something of the old one is still in use.
void MediaState::supersede_others(const Known& medium) {
  for (auto& [node, other] : media_) {
    if (!is_twin(medium.device, other.device) || other.state == MediumState::system ||
        other.state == MediumState::superseded)
      continue;
    forget(other, "has come back as " + medium.device.node);
    other.state = MediumState::superseded;
  }
}

// The one that took its place has gone: this one it was, or it is a copy.
void MediaState::revive_twin(const MediumDevice& gone) {
  Known* latest = nullptr;
  for (auto& [node, other] : media_) {
    if (!is_twin(gone, other.device)) continue;
    if (other.state != MediumState::superseded) return;
    if (latest == nullptr || latest->device.sequence < other.device.sequence) latest = &other;
  }
  if (latest != nullptr) begin(*latest);
}

void MediaState::begin(Known& medium) {
  medium.state = MediumState::unmounted;
  medium.why.clear();
  look(medium);
  if (medium.state != MediumState::unmounted) return;
  if (belongs_to_system(medium)) {
    medium.state = MediumState::system;
    medium.why = "its disk holds a part of the running system";
    return;
  }
  if (!settings_.may_mount || !told_) return;
  if (mountable(medium.device.type) == nullptr) {
    medium.state = MediumState::unsupported;
    medium.why = "a file system of the type '" + one_line(medium.device.type) + "' is not mounted";
    return say(medium, true, "is left alone: " + medium.why);
  }
  medium.folder = folder_for(medium);
  medium.state = MediumState::waiting;
  if (!leaving_.contains(medium.folder)) mount(medium);
}

std::filesystem::path MediaState::folder_for(const Medium& medium) const {
  const auto node = std::filesystem::path(medium.device.node).filename();
  if (!is_folder_name(medium.device.uuid)) return settings_.mount_root / node;
  const auto folder = settings_.mount_root / medium.device.uuid;
  const auto has_it = [&](const auto& each) { return each.second.folder == folder; };
  const auto is_there = [&](const MountEntry& each) { return each.where == folder; };
  const bool taken =
      std::ranges::any_of(media_, has_it) || (std::ranges::any_of(table_, is_there) && !leaving_.contains(folder));
  return taken ? settings_.mount_root / node : folder;
}

void MediaState::mount(Known& medium) {
  const MountableType& type = *mountable(medium.device.type);
  MountMedium action{medium.device.node, medium.folder, {}, "nosuid,nodev,noexec"};
  for (const auto name : type.mounted_as)
    if (!name.empty()) action.types.emplace_back(name);
  if (!type.owners)
    action.options += ",uid=" + std::to_string(settings_.uid) + ",gid=" + std::to_string(settings_.gid) + ",umask=0077";
  if (!type.options.empty()) action.options.append(",").append(type.options);
  medium.state = MediumState::mounting;
  act(std::move(action));
}

void MediaState::handle_removed(const std::string& node) {
  const auto found = media_.find(node);
  if (found == media_.end()) return;
  forget(found->second, "is not there any more");
  const MediumDevice gone = found->second.device;
  media_.erase(found);
  revive_twin(gone);
  look_at_all();
}

// Its device has gone: what is mounted of it stays in the table, and is of no use.
void MediaState::forget(Known& medium, const std::string& why) {
  std::vector<std::filesystem::path> leave;
  for (const auto* entry : mounts_of(medium)) {
    stale_.push_back(*entry);
    if (is_our_place(entry->where)) leave.emplace_back(entry->where);
  }
  const auto folder = medium.folder;
  const bool mounting = medium.state == MediumState::mounting;
  if (medium.state == MediumState::ejecting) act(MediumEjected{medium.ticket, ENODEV, medium.device.node + " " + why});
  medium.turn = 0;
  if (!medium.root.empty()) went(medium);
  say(medium, false, why);
  medium.folder.clear();
  medium.why.clear();
  if (mounting) leaving_.emplace(folder, true);
  for (const auto& each : leave) let_go(each);
}

void MediaState::let_go(const std::filesystem::path& folder) {
  if (leaving_.emplace(folder, false).second) act(LetGoMedium{folder});
}

void MediaState::handle_all_told() {
  told_ = true;
  for (auto& [node, medium] : media_)
    if (medium.state == MediumState::unmounted) begin(medium);
  for (const auto& entry : table_) {
    const std::filesystem::path where = entry.where;
    const auto uses_it = [&](const auto& each) { return each.second.root == where || each.second.folder == where; };
    if (!is_our_place(where) || std::ranges::any_of(media_, uses_it)) continue;
    stale_.push_back(entry);
    let_go(where);
  }
}

// --- What was done -----------------------------------------------------------------------------------------------

void MediaState::handle_mounted(const std::filesystem::path& folder, bool success, const std::string& why) {
  if (const auto left = leaving_.find(folder); left != leaving_.end() && left->second) {  // it was pulled meanwhile
    left->second = false;
    return act(LetGoMedium{folder});
  }
  const auto found = std::ranges::find_if(media_, [&](const auto& each) {
    return each.second.state == MediumState::mounting && each.second.folder == folder;
  });
  if (found == media_.end()) return;
  Known& medium = found->second;
  medium.state = MediumState::unmounted;
  medium.folder.clear();
  look(medium);
  if (medium.root != folder) act(RemoveMediumFolder{folder});
  if (medium.state != MediumState::unmounted) return;
  medium.state = MediumState::failed;
  medium.why = success ? "what was mounted has gone at once" : one_line(why);
  say(medium, true, "cannot be mounted: " + medium.why);
}

void MediaState::handle_let_go(const std::filesystem::path& folder) {
  leaving_.erase(folder);
  const auto next = std::ranges::find_if(media_, [&](const auto& each) {
    return each.second.state == MediumState::waiting && each.second.folder == folder;
  });
  if (next != media_.end()) return mount(next->second);
  act(RemoveMediumFolder{folder});
}

// --- What is to be done -------------------------------------------------------------------------------------------

std::optional<MediaAction> MediaState::poll_action() {
  if (actions_.empty()) return std::nullopt;
  auto action = std::move(actions_.front());
  actions_.pop_front();
  return action;
}

void MediaState::say(const Known& medium, bool warning, const std::string& what) {
  std::string name = medium.device.node;
  if (!medium.device.label.empty()) name += " '" + one_line(medium.device.label) + "'";
  if (!medium.device.uuid.empty()) name += " (" + one_line(medium.device.uuid) + ")";
  act(MediaWords{warning, "the medium " + name + " " + what});
}

}  // namespace sessionfs::fs
