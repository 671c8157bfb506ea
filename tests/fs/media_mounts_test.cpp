// Media that cannot be mounted, or that others mount.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/fs/media_fixture.hpp"

namespace sessionfs::fs::testing {
namespace {

// --- What cannot be mounted ----------------------------------------------------------------------------------------

TEST_F(MediaTest, OtherFileSystemsAreLeftAlone) {
  start();
  state_.handle_device(device("sdb1", 17, uuid_one, "iso\n9660"), true);
  EXPECT_EQ(done(), Words());
  EXPECT_EQ(state_of("sdb1"), MediumState::unsupported);
  ASSERT_EQ(said_.size(), 1U);
  EXPECT_NE(said_[0].find("'iso?9660' is not mounted"), std::string::npos);
  state_.handle_device(device("sdb1", 17, uuid_one, "iso\n9660"), false);
  EXPECT_EQ(said_.size(), 1U);
  // Somebody else may do it.
  mounted(device("sdb1", 17, uuid_one), "/mnt");
  EXPECT_EQ(done(), Words{"came /mnt"});
}

TEST_F(MediaTest, AFailureIsSaidOnceAndNotTriedAgain) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  state_.handle_device(stick, true);
  EXPECT_EQ(done().size(), 1U);
  state_.handle_mounted(folder_one, false, "mount: wrong fs type\nor so");
  EXPECT_EQ(done(), Words{std::string("rmdir ") + folder_one});
  EXPECT_EQ(state_of("sdb1"), MediumState::failed);
  ASSERT_EQ(said_.size(), 1U);
  EXPECT_TRUE(said_[0].starts_with("warning: the medium /dev/sdb1 'label of sdb1' (1111"));
  EXPECT_NE(said_[0].find("wrong fs type?or so"), std::string::npos);
  state_.handle_device(stick, false);  // a mount helper's open for writing alone makes udev tell of a change
  state_.handle_table(table_);
  EXPECT_EQ(done(), Words());
  state_.handle_device(stick, true);
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdb1 ") + folder_one});
  state_.handle_mounted(folder_one, false, "no");
  EXPECT_EQ(done().size(), 1U);
  state_.handle_device(device("sdb1", 17, uuid_two), false);  // it was made anew
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdb1 ") + folder_two});
}

TEST_F(MediaTest, AMountThatIsNotThereIsAFailure) {
  start();
  state_.handle_device(device("sdb1", 17, uuid_one), true);
  state_.handle_mounted(folder_one, true, "");
  EXPECT_EQ(done().size(), 2U);
  EXPECT_EQ(state_of("sdb1"), MediumState::failed);
}

TEST_F(MediaTest, WhatIsToldOfNobodyIsNothing) {
  start();
  state_.handle_mounted(folder_one, true, "");
  state_.handle_synced(7, true, "");
  state_.handle_unmounted(7, true, "");
  EXPECT_EQ(done(), Words());
}

// --- Mounted by others ---------------------------------------------------------------------------------------------

TEST_F(MediaTest, AnotherIsFasterThanOurMount) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  state_.handle_device(stick, true);
  EXPECT_EQ(done().size(), 1U);
  mounted(stick, "/media/me/STICK");
  EXPECT_EQ(done(), Words());
  state_.handle_mounted(folder_one, false, "already mounted");
  EXPECT_EQ(done(), (Words{"came /media/me/STICK", std::string("rmdir ") + folder_one}));
  EXPECT_FALSE(state_.all().front().ours);
}

TEST_F(MediaTest, BothHaveMountedIt) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  state_.handle_device(stick, true);
  mounted(stick, "/media/me/STICK");
  mounted(stick, folder_one);
  state_.handle_mounted(folder_one, true, "");
  EXPECT_EQ(done().at(1), "came /media/me/STICK");
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), (Words{"went /media/me/STICK", std::string("let go ") + folder_one}));
}

TEST_F(MediaTest, OnlyNoticedWhereItMayNotBeMounted) {
  start(false);
  const auto stick = device("sdb1", 17, uuid_one);
  state_.handle_device(stick, true);
  EXPECT_EQ(done(), Words());
  mounted(stick, folder_one);  // by a unit of systemd
  EXPECT_EQ(done(), Words{std::string("came ") + folder_one});
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), Words{std::string("went ") + folder_one});
}

TEST_F(MediaTest, UnmountedByOthersItStaysSo) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  plug_in(stick, folder_one);
  unmounted(folder_one);
  EXPECT_EQ(done(), (Words{std::string("went ") + folder_one, std::string("rmdir ") + folder_one}));
  EXPECT_EQ(state_of("sdb1"), MediumState::unmounted);
  state_.handle_device(stick, false);
  EXPECT_EQ(done(), Words());
  mounted(stick, "/mnt");
  EXPECT_EQ(done(), Words{"came /mnt"});
  unmounted("/mnt");
  EXPECT_EQ(done(), Words{"went /mnt"});
}

TEST_F(MediaTest, TheRootIsPreferredAndKept) {
  start(false);
  const auto stick = device("sdb1", 17, uuid_one);
  mounted(stick, "/bound", "/photos");
  mounted(stick, "/mnt");
  state_.handle_device(stick, false);
  EXPECT_EQ(done(), Words{"came /mnt"});
  mounted(stick, "/mnt2");
  EXPECT_EQ(done(), Words());
  unmounted("/mnt");
  EXPECT_EQ(done(), (Words{"went /mnt", "came /mnt2"}));
  unmounted("/mnt2");
  EXPECT_EQ(done(), (Words{"went /mnt2", "came /bound"}));
}

TEST_F(MediaTest, OneThatAnotherIsMountedOverIsNotThere) {
  start(false);
  const auto one = device("sdc1", 33, uuid_one);
  const auto two = device("sdb1", 17, uuid_two);
  state_.handle_device(one, true);
  state_.handle_device(two, true);
  mounted(one, "/mnt");
  EXPECT_EQ(done(), Words{"came /mnt"});
  mounted(two, "/mnt");
  EXPECT_EQ(done(), (Words{"went /mnt", "came /mnt"}));
  EXPECT_EQ(state_.find("/mnt").media.front().device.node, "/dev/sdb1");
  table_.pop_back();
  state_.handle_table(table_);
  EXPECT_EQ(done(), (Words{"went /mnt", "came /mnt"}));
  EXPECT_EQ(state_.find("/mnt").media.front().device.node, "/dev/sdc1");
}

TEST_F(MediaTest, AMountOfAPulledOneIsNotBelieved) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  state_.handle_device(stick, false);
  done();
  mounted(stick, "/mnt");
  state_.handle_mounted(folder_one, false, "busy");
  EXPECT_EQ(done().front(), "came /mnt");
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), Words{"went /mnt"});
  state_.handle_device(stick, true);  // the same numbers; what is at /mnt is still that of before
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdb1 ") + folder_one});
  mounted(stick, folder_one);
  state_.handle_mounted(folder_one, true, "");
  EXPECT_EQ(done(), Words{std::string("came ") + folder_one});
  unmounted("/mnt");
  mounted(stick, "/mnt");
  EXPECT_EQ(done(), Words());
}

TEST_F(MediaTest, FileSystemsWithoutADeviceAreKnownByTheirSource) {
  start(false);
  const auto stick = device("sdb1", 17, uuid_one, "btrfs");
  state_.handle_device(stick, true);
  MountEntry entry;
  entry.id = 1;
  entry.minor = 40;
  entry.root = "/@home";
  entry.where = "/mnt";
  entry.source = "/dev/sdb1";
  const auto use = [&](const std::string& type, const std::string& options, const std::string& source) {
    entry.type = type;
    entry.super_options = options;
    entry.source = source;
    mounted(entry);
    const auto result = done();
    unmounted("/mnt");
    done();
    return result == Words{"came /mnt"};
  };
  EXPECT_TRUE(use("btrfs", "rw", "/dev/sdb1"));
  EXPECT_TRUE(use("btrfs", "rw", std::string("/dev/disk/by-uuid/") + uuid_one));
  EXPECT_FALSE(use("btrfs", "rw", "/dev/sdc1"));
  EXPECT_TRUE(use("fuse", "rw,user_id=0,group_id=0", "/dev/sdb1"));
  EXPECT_TRUE(use("fuse.fusefat", "rw,user_id=1000,group_id=0", "/dev/sdb1"));
  EXPECT_FALSE(use("fuse.fusefat", "rw,user_id=1001,group_id=0", "/dev/sdb1"));  // anybody can say so
  EXPECT_FALSE(use("fuse.x", "rw", "/dev/sdb1"));
  EXPECT_FALSE(use("tmpfs", "rw", "/dev/sdb1"));
  EXPECT_FALSE(use("fusectl", "rw,user_id=0", "/dev/sdb1"));
}

TEST_F(MediaTest, TheDiskOfTheRunningSystemIsLeftAlone) {
  for (const std::string where : {"/", "/boot", "/boot/efi", "/boot/firmware", "/usr", "/home"}) {
    state_ = MediaState({"/run/m", true, 0, 0});
    table_.clear();
    const auto system = device("sda2", 2, uuid_one);
    mounted(system, where);
    state_.handle_device(device("sda1", 1, uuid_two, "vfat"), false);  // comes first, and is not mounted
    state_.handle_device(system, false);
    state_.handle_all_told();
    EXPECT_EQ(done(), Words()) << where;
    EXPECT_EQ(state_of("sda1"), MediumState::system);
    EXPECT_EQ(state_of("sda2"), MediumState::system);
    state_.begin_eject("/dev/sda1", 1);
    EXPECT_EQ(done(), Words{"ejected 1 /dev/sda1 cannot be ejected: its disk holds a part of the running system"});
    plug_in(device("sdb1", 17, "OTHER"), "/run/m/OTHER");
  }
}

TEST_F(MediaTest, OneThatBecomesAPartOfTheSystem) {
  start(false);
  const auto stick = device("sdb1", 17, uuid_one);
  state_.handle_device(stick, true);
  mounted(stick, "/mnt");
  EXPECT_EQ(done(), Words{"came /mnt"});
  mounted(stick, "/boot");
  EXPECT_EQ(done(), Words{"went /mnt"});
  EXPECT_EQ(state_of("sdb1"), MediumState::system);
  unmounted("/boot");
  EXPECT_EQ(done(), Words{"came /mnt"});
  unmounted("/mnt");
  mounted(stick, "/boot");
  unmounted("/boot");
  EXPECT_EQ(state_of("sdb1"), MediumState::unmounted);
}

}  // namespace
}  // namespace sessionfs::fs::testing
