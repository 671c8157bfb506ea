// MediaState without a device and without a mount: the tests say what udev and the kernel would.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <variant>
#include <vector>

#include "fs/media_state.hpp"

namespace sessionfs::fs::testing {

using Words = std::vector<std::string>;

inline constexpr const char* uuid_one = "11111111-2222-3333-4444-555555555555";
inline constexpr const char* uuid_two = "ABCD-1234";
inline constexpr const char* folder_one = "/run/m/11111111-2222-3333-4444-555555555555";
inline constexpr const char* folder_two = "/run/m/ABCD-1234";

template <class... Cases>
struct ActionCases : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
ActionCases(Cases...) -> ActionCases<Cases...>;

// One line each; what goes to the log is left out.
inline std::string line_of(const MediaAction& action) {
  return std::visit(ActionCases{
                        [](const MountMedium& what) {
                          std::string types;
                          for (const auto& type : what.types) types += (types.empty() ? "" : "|") + type;
                          return "mount " + types + " " + what.node + " " + what.folder.string();
                        },
                        [](const LetGoMedium& what) { return "let go " + what.folder.string(); },
                        [](const RemoveMediumFolder& what) { return "rmdir " + what.folder.string(); },
                        [](const SyncMedium& what) { return "sync " + what.root.string(); },
                        [](const UnmountMedium& what) { return "umount " + what.root.string(); },
                        [](const MediumCame& what) { return "came " + what.root.string(); },
                        [](const MediumWent& what) { return "went " + what.root.string(); },
                        [](const MediumEjected& what) {
                          return "ejected " + std::to_string(what.error) + (what.why.empty() ? "" : " " + what.why);
                        },
                        [](const MediaWords&) { return std::string(); },
                    },
                    action);
}

class MediaTest : public ::testing::Test {
 protected:
  void start(bool may_mount = true) {
    state_ = MediaState({"/run/m/", may_mount, 1000, 1000});
    state_.handle_all_told();
    ASSERT_EQ(done(), Words());
  }

  // What is to be done since it was last asked.
  Words done() {
    Words lines;
    while (const auto action = state_.poll_action()) {
      if (const auto* sync = std::get_if<SyncMedium>(&*action)) turn_ = sync->turn;
      if (const auto* mount = std::get_if<MountMedium>(&*action)) options_ = mount->options;
      if (const auto* words = std::get_if<MediaWords>(&*action)) {
        EXPECT_EQ(words->text.find('\n'), std::string::npos);
        said_.push_back((words->warning ? "warning: " : "info: ") + words->text);
        continue;
      }
      lines.push_back(line_of(*action));
    }
    return lines;
  }

  // The next that is plugged in there has a higher sequence.
  static MediumDevice device(const std::string& name, unsigned minor, const std::string& uuid,
                             const std::string& type = "ext4", std::uint64_t sequence = 0) {
    MediumDevice one;
    one.node = "/dev/" + name;
    one.disk = "/dev/" + name.substr(0, 3);
    one.links = {"/dev/disk/by-uuid/" + uuid};
    one.major = 8;
    one.minor = minor;
    one.sequence = sequence;
    one.uuid = uuid;
    one.label = "label of " + name;
    one.type = type;
    return one;
  }

  void mounted(const MediumDevice& medium, const std::string& where, const std::string& root = "/") {
    MountEntry entry;
    entry.id = ++last_id_;
    entry.major = medium.major;
    entry.minor = medium.minor;
    entry.root = root;
    entry.where = where;
    entry.type = medium.type;
    entry.source = medium.node;
    mounted(entry);
  }
  void mounted(const MountEntry& entry) {
    table_.push_back(entry);
    state_.handle_table(table_);
  }
  void unmounted(const std::string& where) {
    std::erase_if(table_, [&](const MountEntry& each) { return each.where == where; });
    state_.handle_table(table_);
  }

  // Ours, from the plugging in to the mount.
  void plug_in(const MediumDevice& medium, const std::string& folder) {
    state_.handle_device(medium, true);
    ASSERT_EQ(done(), Words{"mount " + medium.type + " " + medium.node + " " + folder});
    mounted(medium, folder);
    ASSERT_EQ(done(), Words());
    state_.handle_mounted(folder, true, "");
    ASSERT_EQ(done(), Words{"came " + folder});
  }

  MediumState state_of(const std::string& node) {
    const auto found = state_.find(node);
    return found.media.empty() ? MediumState::unsupported : found.media.front().state;
  }

  MediaState state_{{"/run/m", true, 1000, 1000}};
  MountTable table_;
  std::uint64_t last_id_ = 0;
  std::uint64_t turn_ = 0;
  std::string options_;
  Words said_;
};

}  // namespace sessionfs::fs::testing
