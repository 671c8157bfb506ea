// Sticks that come, go, are mounted and ejected in any order, by whomever; what must hold whatever happens.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/fs/media_fixture.hpp"

namespace sessionfs::fs::testing {
namespace {

constexpr unsigned rounds = 300;
constexpr unsigned steps = 200;

// The world of MediaState: it does what is asked, late, and not always with success.
class World {
 public:
  explicit World(unsigned seed) : random_(seed), state_({"/run/m", pick(4) != 0, 0, 0}) { state_.handle_all_told(); }

  void step() {
    switch (pick(9)) {
      case 0:
      case 1:
        plug();
        break;
      case 2:
        pull();
        break;
      case 3:
        if (!plugged_.empty()) state_.handle_device(any(plugged_).second, pick(2) == 0);
        break;
      case 4:
        if (!plugged_.empty()) mount(any(plugged_).second, "/mnt" + std::to_string(pick(3)));
        break;
      case 5:
        if (!table_.empty()) unmount(table_.at(pick(table_.size())).where);
        break;
      case 6:
        if (!plugged_.empty()) {
          ejecting_.insert(++last_ticket_);
          state_.begin_eject(any(plugged_).first, last_ticket_);
        }
        break;
      default:
        finish_one();
    }
    take_actions();
  }

  // Everything that was begun ends, and nobody does anything any more.
  void end() {
    for (unsigned each = 0; each < 1000 && (!mounting_.empty() || !leaving_.empty() || !turns_.empty()); ++each) {
      finish_one();
      take_actions();
    }
    while (!plugged_.empty()) {
      state_.handle_removed(plugged_.begin()->first);
      plugged_.erase(plugged_.begin());
      take_actions();
    }
    for (unsigned each = 0; each < 1000 && (!mounting_.empty() || !leaving_.empty() || !turns_.empty()); ++each) {
      finish_one();
      take_actions();
    }
    EXPECT_TRUE(mounting_.empty() && leaving_.empty() && turns_.empty());
    EXPECT_EQ(there_, std::set<std::string>()) << "came, and never went";
    EXPECT_EQ(ejecting_, std::set<std::uint64_t>()) << "ejects without an answer";
    EXPECT_TRUE(state_.all().empty());
    for (const auto& entry : table_)
      EXPECT_FALSE(entry.where.starts_with("/run/m/")) << "never let go: " << entry.where;
  }

 private:
  std::size_t pick(std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_); }
  template <class Container>
  typename Container::value_type any(const Container& of) {
    return *std::next(of.begin(), static_cast<std::ptrdiff_t>(pick(of.size())));
  }

  void plug() {
    const std::string name = "sd" + std::string(1, static_cast<char>('b' + pick(4)));
    if (plugged_.contains("/dev/" + name)) return;
    MediumDevice device;
    device.node = "/dev/" + name;
    device.disk = device.node;
    device.major = 8;
    device.minor = static_cast<unsigned>(name.back()) * 16;
    device.sequence = with_sequence_ ? ++last_sequence_ : 0;
    device.uuid = "UUID-" + std::to_string(pick(2));
    device.type = pick(8) == 0 ? "iso9660" : "ext4";
    plugged_[device.node] = device;
    state_.handle_device(device, pick(2) == 0);
  }

  void pull() {
    if (plugged_.empty()) return;
    const std::string node = any(plugged_).first;
    plugged_.erase(node);
    state_.handle_removed(node);
  }

  void mount(const MediumDevice& device, const std::string& where) {
    MountEntry entry;
    while (ids_.contains(entry.id)) ++entry.id;  // as the kernel does it
    ids_.insert(entry.id);
    entry.major = device.major;
    entry.minor = device.minor;
    entry.root = "/";
    entry.where = where;
    entry.source = device.node;
    table_.push_back(entry);
    state_.handle_table(table_);
  }

  bool unmount(const std::string& where) {
    for (auto entry = table_.rbegin(); entry != table_.rend(); ++entry) {
      if (entry->where != where) continue;
      ids_.erase(entry->id);
      table_.erase(std::next(entry).base());
      state_.handle_table(table_);
      return true;
    }
    return false;
  }

  void finish_one() {
    switch (pick(3)) {
      case 0:
        if (!mounting_.empty()) {
          const auto [folder, node] = any(mounting_);
          mounting_.erase(folder);
          const auto device = devices_.at(node);
          const bool success = pick(5) != 0;
          if (success) mount(device, folder);
          state_.handle_mounted(folder, success, success ? "" : "no");
        }
        break;
      case 1:
        if (!leaving_.empty()) {
          const auto folder = any(leaving_);
          leaving_.erase(folder);
          while (unmount(folder)) {
          }
          state_.handle_let_go(folder);
        }
        break;
      default:
        if (!turns_.empty()) {
          const auto [turn, root] = any(turns_);
          turns_.erase(turn);
          const bool success = pick(4) != 0;
          if (root.empty()) return state_.handle_synced(turn, success, success ? "" : "no");
          if (success) unmount(root);
          state_.handle_unmounted(turn, success, success ? "" : "busy");
        }
    }
  }

  void take_actions() {
    while (const auto action = state_.poll_action()) {
      if (const auto* mount = std::get_if<MountMedium>(&*action)) {
        EXPECT_TRUE(mounting_.emplace(mount->folder, mount->node).second) << "two mounts of " << mount->folder;
        EXPECT_FALSE(leaving_.contains(mount->folder)) << "mounted before it is let go: " << mount->folder;
        devices_[mount->node] = plugged_.at(mount->node);
      } else if (const auto* leave = std::get_if<LetGoMedium>(&*action)) {
        EXPECT_TRUE(leaving_.insert(leave->folder).second) << "let go twice: " << leave->folder;
      } else if (const auto* sync = std::get_if<SyncMedium>(&*action)) {
        turns_[sync->turn] = "";
      } else if (const auto* unmounted = std::get_if<UnmountMedium>(&*action)) {
        turns_[unmounted->turn] = unmounted->root;
      } else if (const auto* came = std::get_if<MediumCame>(&*action)) {
        EXPECT_TRUE(there_.insert(came->root).second) << "came twice: " << came->root;
      } else if (const auto* went = std::get_if<MediumWent>(&*action)) {
        EXPECT_EQ(there_.erase(went->root), 1U) << "went, and had not come: " << went->root;
      } else if (const auto* ejected = std::get_if<MediumEjected>(&*action)) {
        EXPECT_EQ(ejecting_.erase(ejected->ticket), 1U) << "answered twice";
        EXPECT_EQ(ejected->error == 0, ejected->why.empty());
      }
    }
  }

  std::mt19937 random_;
  MediaState state_;
  bool with_sequence_ = pick(2) == 0;
  std::uint64_t last_sequence_ = 0;
  std::uint64_t last_ticket_ = 0;
  std::map<std::string, MediumDevice> plugged_;
  std::map<std::string, MediumDevice> devices_;  // as they were when their mount(8) was started
  MountTable table_;
  std::set<std::uint64_t> ids_;
  std::map<std::string, std::string> mounting_;  // folder, node
  std::set<std::string> leaving_;
  std::map<std::uint64_t, std::string> turns_;  // of a sync: without a folder
  std::set<std::string> there_;
  std::set<std::uint64_t> ejecting_;
};

TEST(MediaRandomTest, WhateverHappens) {
  for (unsigned seed = 1; seed <= rounds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    for (unsigned step = 0; step < steps; ++step) world.step();
    world.end();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace sessionfs::fs::testing
