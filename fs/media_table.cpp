#include "fs/media_table.hpp"

#include <algorithm>
#include <array>

#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

// What people have on sticks, and the kernel checks when it reads it.
constexpr std::array<std::string_view, 10> mountable_types = {"vfat", "exfat", "ext2", "ext3",  "ext4",
                                                              "xfs",  "btrfs", "f2fs", "ntfs3", "udf"};

bool is_word(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'; }

bool is_of(const MountEntry& mount, const Device& device) {
  return mount.part == "/" && (mount.device == device.number || mount.source == device.node);
}

std::string_view words_of(Medium::State state) {
  switch (state) {
    case Medium::State::unmounted:
      return "not mounted";
    case Medium::State::mounting:
      return "is being mounted";
    case Medium::State::mounted:
      return "mounted at";
    case Medium::State::failed:
      return "cannot be mounted";
    case Medium::State::ejected:
      return "can be taken out";
  }
  return "";
}

}  // namespace

// By what the stick is known for; not by where it is plugged in.
std::filesystem::path MediaTable::folder_for(const Device& device) const {
  const bool is_plain = !device.uuid.empty() && std::ranges::all_of(device.uuid, is_word);
  return mounts_root_ / (is_plain ? device.uuid : std::filesystem::path(device.node).filename().string());
}

std::vector<MediaAction> MediaTable::device_is_there(const Device& device) {
  std::vector<MediaAction> actions;
  if (device.type.empty()) return device_is_gone(device.number);  // a reader without its card
  const auto known = media_.find(device.number);
  const bool is_same = known != media_.end() && known->second.device.uuid == device.uuid;
  if (is_same && known->second.state != Medium::State::failed) return actions;  // udev may tell of it twice
  if (known != media_.end()) actions = device_is_gone(device.number);
  // The same stick with another device number: the old mount is dead.
  for (auto& [number, other] : media_)
    if (!device.uuid.empty() && other.device.uuid == device.uuid) lose(other, actions);
  std::erase_if(media_,
                [&](const auto& entry) { return !device.uuid.empty() && entry.second.device.uuid == device.uuid; });
  Medium& medium = media_[device.number];
  medium.device = device;
  settle(medium, actions);
  return actions;
}

// Uses the mount that there is, or asks for one.
void MediaTable::settle(Medium& medium, std::vector<MediaAction>& actions) {
  const auto mount =
      std::ranges::find_if(mounts_, [&](const MountEntry& entry) { return is_of(entry, medium.device); });
  const bool is_there = mount != mounts_.end();
  if (is_there && medium.state != Medium::State::mounted) {
    medium.ours = !mounts_root_.empty() && mount->root == folder_for(medium.device);
    medium.root = mount->root;
    medium.state = Medium::State::mounted;
    actions.push_back({MediaAction::Kind::came, medium.device, medium.root, ""});
  } else if (!is_there && medium.state == Medium::State::mounted) {
    medium.state = Medium::State::ejected;  // by somebody who wants to take it out
    actions.push_back({MediaAction::Kind::went, medium.device, medium.root, ""});
  } else if (!is_there && medium.state == Medium::State::unmounted && !mounts_root_.empty()) {
    if (std::ranges::find(mountable_types, medium.device.type) == mountable_types.end()) {
      medium.state = Medium::State::failed;
      medium.why = "its file system is of the type " + one_line(medium.device.type) + ", which is not mounted";
      actions.push_back({MediaAction::Kind::complain, medium.device, "", medium.device.node + ": " + medium.why});
      return;
    }
    medium.state = Medium::State::mounting;
    medium.root = folder_for(medium.device);
    actions.push_back({MediaAction::Kind::mount, medium.device, medium.root, ""});
  }
}

void MediaTable::lose(Medium& medium, std::vector<MediaAction>& actions) {
  if (medium.state == Medium::State::mounted)
    actions.push_back({MediaAction::Kind::went, medium.device, medium.root, ""});
  if (medium.ours || medium.state == Medium::State::mounting)
    actions.push_back({MediaAction::Kind::let_go, medium.device, medium.root, ""});
}

std::vector<MediaAction> MediaTable::device_is_gone(const DeviceNumber& number) {
  std::vector<MediaAction> actions;
  const auto medium = media_.extract(number);
  if (!medium.empty()) lose(medium.mapped(), actions);
  return actions;
}

std::vector<MediaAction> MediaTable::mounted(const std::vector<MountEntry>& table) {
  mounts_ = table;
  std::vector<MediaAction> actions;
  for (auto& [number, medium] : media_) settle(medium, actions);
  return actions;
}

std::vector<MediaAction> MediaTable::mount_ended(const DeviceNumber& number, bool is_mounted, const std::string& why) {
  std::vector<MediaAction> actions;
  const auto found = media_.find(number);
  // That it is mounted says the mount table, before this or after it.
  if (found == media_.end() || is_mounted || found->second.state != Medium::State::mounting) return actions;
  Medium& medium = found->second;
  medium.state = Medium::State::failed;
  medium.why = one_line(why);
  actions.push_back(
      {MediaAction::Kind::complain, medium.device, "", medium.device.node + ": cannot be mounted: " + medium.why});
  return actions;
}

void MediaTable::ejected(const DeviceNumber& number) {
  if (const auto found = media_.find(number); found != media_.end()) found->second.state = Medium::State::ejected;
}

const Medium* MediaTable::find(std::string_view what) const {
  const auto matches = [&](const auto& entry) {
    const Medium& medium = entry.second;
    const Device& device = medium.device;
    const auto folder = std::filesystem::path(what).lexically_normal();
    return device.node == what || (!device.disk.empty() && device.disk == what) ||
           (!device.label.empty() && device.label == what) || (!device.uuid.empty() && device.uuid == what) ||
           (medium.state == Medium::State::mounted && (medium.root == folder || medium.root / "" == folder));
  };
  const auto found = std::ranges::find_if(media_, matches);
  return found == media_.end() ? nullptr : &found->second;
}

std::vector<std::string> MediaTable::text() const {
  std::vector<std::string> lines;
  for (const auto& [number, medium] : media_) {
    std::string line = medium.device.node + " " + one_line(medium.device.type);
    if (!medium.device.label.empty()) line += " label=" + one_line(medium.device.label);
    if (!medium.device.uuid.empty()) line += " uuid=" + one_line(medium.device.uuid);
    line += " " + std::string(words_of(medium.state));
    if (medium.state == Medium::State::mounted) line += " " + one_line(medium.root.string());
    if (medium.state == Medium::State::failed) line += ": " + medium.why;
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace sessionfs::fs
