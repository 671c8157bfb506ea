// Media that are plugged in and pulled out.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/fs/media_fixture.hpp"

namespace sessionfs::fs::testing {
namespace {

TEST_F(MediaTest, OneIsMountedAndGone) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  plug_in(stick, folder_one);
  EXPECT_EQ(options_, "nosuid,nodev,noexec");
  EXPECT_EQ(state_of("/dev/sdb1"), MediumState::mounted);
  EXPECT_TRUE(state_.all().front().ours);

  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), (Words{std::string("went ") + folder_one, std::string("let go ") + folder_one}));
  EXPECT_TRUE(state_.all().empty());
  unmounted(folder_one);
  state_.handle_let_go(folder_one);
  EXPECT_EQ(done(), Words{std::string("rmdir ") + folder_one});
}

TEST_F(MediaTest, OwnersAreGivenWhereTheFileSystemHasNone) {
  start();
  state_.handle_device(device("sdb1", 17, uuid_two, "vfat"), true);
  EXPECT_EQ(done(), Words{std::string("mount vfat /dev/sdb1 ") + folder_two});
  EXPECT_EQ(options_, "nosuid,nodev,noexec,uid=1000,gid=1000,umask=0077,utf8=1,shortname=mixed,flush");
  state_.handle_device(device("sdc1", 33, "1234-0000", "exfat"), true);
  EXPECT_EQ(done(), Words{"mount exfat|exfat-fuse /dev/sdc1 /run/m/1234-0000"});
  EXPECT_EQ(options_, "nosuid,nodev,noexec,uid=1000,gid=1000,umask=0077");
  state_.handle_device(device("sdd1", 49, "0123456789", "ntfs"), true);
  EXPECT_EQ(done(), Words{"mount ntfs3 /dev/sdd1 /run/m/0123456789"});
}

TEST_F(MediaTest, ItIsNotMountedTwice) {
  start();
  const auto stick = device("sdb", 16, uuid_one);
  state_.handle_device(stick, true);
  EXPECT_EQ(done().size(), 1U);
  state_.handle_device(stick, false);  // the extra event of a stick without a partition table
  state_.handle_device(stick, true);
  EXPECT_EQ(done(), Words());
  mounted(stick, folder_one);
  state_.handle_mounted(folder_one, true, "");
  EXPECT_EQ(done(), Words{std::string("came ") + folder_one});
  state_.handle_device(stick, false);
  state_.handle_device(stick, true);
  EXPECT_EQ(done(), Words());
}

TEST_F(MediaTest, NothingIsMountedBeforeAllAreTold) {
  state_.handle_device(device("sdb2", 18, uuid_one), false);
  EXPECT_EQ(done(), Words());
  state_.handle_all_told();
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdb2 ") + folder_one});
}

TEST_F(MediaTest, OneThatIsMountedAtTheStartIsUsed) {
  const auto ours = device("sdb1", 17, uuid_one);
  const auto other = device("sdc1", 33, uuid_two, "vfat");
  mounted(ours, folder_one);
  mounted(other, "/media/me/STICK");
  state_.handle_device(ours, false);
  state_.handle_device(other, false);
  state_.handle_all_told();
  EXPECT_EQ(done(), (Words{std::string("came ") + folder_one, "came /media/me/STICK"}));
  state_.handle_removed("/dev/sdb1");
  state_.handle_removed("/dev/sdc1");
  EXPECT_EQ(done(),
            (Words{std::string("went ") + folder_one, std::string("let go ") + folder_one, "went /media/me/STICK"}));
}

TEST_F(MediaTest, WhatIsLeftFromEarlierIsLetGo) {
  const auto gone = device("sdb1", 17, uuid_one);
  mounted(gone, folder_one);
  mounted(gone, "/mnt");
  mounted(gone, "/run/m/deep/er");
  state_.handle_all_told();
  EXPECT_EQ(done(), Words{std::string("let go ") + folder_one});
  // It comes back before that is done.
  const auto back = device("sdc1", 33, uuid_one);
  state_.handle_device(back, true);
  EXPECT_EQ(done(), Words());
  EXPECT_EQ(state_of("sdc1"), MediumState::waiting);
  unmounted(folder_one);
  state_.handle_let_go(folder_one);
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdc1 ") + folder_one});
}

TEST_F(MediaTest, OneThatIsPulledWhileItIsMounted) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  state_.handle_device(stick, true);
  EXPECT_EQ(done().size(), 1U);
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), Words());
  state_.handle_device(device("sdc1", 33, uuid_one), true);  // and comes back
  EXPECT_EQ(done(), Words());
  mounted(stick, folder_one);
  state_.handle_mounted(folder_one, true, "");
  EXPECT_EQ(done(), Words{std::string("let go ") + folder_one});
  unmounted(folder_one);
  state_.handle_let_go(folder_one);
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdc1 ") + folder_one});
}

TEST_F(MediaTest, ItComesBackAsTheSameDevice) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  plug_in(stick, folder_one);
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done().size(), 2U);
  state_.handle_device(stick, true);  // the old mount is still in the table, with the same numbers
  EXPECT_EQ(done(), Words());
  EXPECT_EQ(state_of("sdb1"), MediumState::waiting);
  state_.handle_table(table_);
  EXPECT_EQ(done(), Words());
  unmounted(folder_one);
  state_.handle_let_go(folder_one);
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdb1 ") + folder_one});
  mounted(stick, folder_one);
  state_.handle_mounted(folder_one, true, "");
  EXPECT_EQ(done(), Words{std::string("came ") + folder_one});
}

TEST_F(MediaTest, ItComesBackAsAnotherDeviceBeforeItsRemovalIsTold) {
  start();
  plug_in(device("sdb1", 17, uuid_one), folder_one);
  state_.handle_device(device("sdc1", 33, uuid_one), true);
  EXPECT_EQ(done(), (Words{std::string("went ") + folder_one, std::string("let go ") + folder_one}));
  EXPECT_EQ(state_of("sdb1"), MediumState::superseded);
  unmounted(folder_one);
  state_.handle_let_go(folder_one);
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdc1 ") + folder_one});
  mounted(device("sdc1", 33, uuid_one), folder_one);
  state_.handle_mounted(folder_one, true, "");
  EXPECT_EQ(done(), Words{std::string("came ") + folder_one});
  EXPECT_EQ(state_.find(uuid_one).media.front().device.node, "/dev/sdc1");
  state_.handle_device(device("sdb1", 17, uuid_one), false);
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), Words());
}

TEST_F(MediaTest, TheLastPluggedInCountsInWhateverOrderTheyAreTold) {
  start();
  plug_in(device("sdc1", 33, uuid_one, "ext4", 6), folder_one);
  state_.handle_device(device("sdb1", 17, uuid_one, "ext4", 5), true);
  state_.handle_device(device("sdb1", 17, uuid_one, "ext4", 5), true);
  EXPECT_EQ(done(), Words());
  EXPECT_EQ(state_of("sdb1"), MediumState::superseded);
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), Words());
  EXPECT_EQ(state_of("sdc1"), MediumState::mounted);
}

TEST_F(MediaTest, WhatWasSupersededMayHaveBeenTheOne) {
  start();
  plug_in(device("sdb1", 17, uuid_one), folder_one);
  state_.handle_device(device("sdc1", 33, uuid_one), true);
  EXPECT_EQ(done().size(), 2U);
  state_.handle_removed("/dev/sdc1");
  EXPECT_EQ(done(), Words());
  EXPECT_EQ(state_of("sdb1"), MediumState::waiting);
  unmounted(folder_one);
  state_.handle_let_go(folder_one);
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdb1 ") + folder_one});
}

TEST_F(MediaTest, AMountThatIsToBeLetGoIsNotUsed) {
  start();
  const auto stick = device("sdb1", 17, uuid_one);
  state_.handle_device(stick, true);
  state_.handle_device(device("sdc1", 33, uuid_one), true);
  EXPECT_EQ(done().size(), 1U);
  mounted(stick, folder_one);  // before our mount(8) is known to have ended
  EXPECT_EQ(done(), Words());
  state_.handle_mounted(folder_one, true, "");
  EXPECT_EQ(done(), Words{std::string("let go ") + folder_one});
  state_.handle_table(table_);
  EXPECT_EQ(done(), Words());
}

TEST_F(MediaTest, ItWasPluggedInAnewAsItsSequenceSays) {
  start();
  plug_in(device("sdb1", 17, uuid_one, "ext4", 5), folder_one);
  state_.handle_device(device("sdb1", 17, uuid_one, "ext4", 5), true);
  EXPECT_EQ(done(), Words());
  state_.handle_device(device("sdb1", 17, uuid_one, "ext4", 6), true);
  EXPECT_EQ(done(), (Words{std::string("went ") + folder_one, std::string("let go ") + folder_one}));
  unmounted(folder_one);
  state_.handle_let_go(folder_one);
  EXPECT_EQ(done(), Words{std::string("mount ext4 /dev/sdb1 ") + folder_one});
}

TEST_F(MediaTest, PartitionsOfOneDiskMayShareAnUuid) {
  start();
  plug_in(device("sdb1", 17, uuid_one), folder_one);
  plug_in(device("sdb2", 18, uuid_one), "/run/m/sdb2");
}

TEST_F(MediaTest, AFolderThatIsTakenIsNotUsed) {
  start();
  mounted(device("sdc1", 33, uuid_two), folder_one);
  plug_in(device("sdb1", 17, uuid_one), "/run/m/sdb1");
}

TEST_F(MediaTest, UuidsThatAreNoFolderNames) {
  start();
  for (const std::string uuid : {"", "..", ".x", "a/b", "../../etc", "a b", "x\ny"}) {
    const auto stick = device("sdb1", 17, uuid);
    plug_in(stick, "/run/m/sdb1");
    state_.handle_removed("/dev/sdb1");
    unmounted("/run/m/sdb1");
    state_.handle_let_go("/run/m/sdb1");
    EXPECT_EQ(done().size(), 3U);
  }
  state_.handle_device(device("sdb1", 17, std::string(300, 'a')), true);
  EXPECT_EQ(done(), Words{"mount ext4 /dev/sdb1 /run/m/sdb1"});
}

TEST_F(MediaTest, SeveralComeAndGo) {
  start();
  plug_in(device("sdb1", 17, uuid_one), folder_one);
  plug_in(device("sdc1", 33, uuid_two, "vfat"), folder_two);
  EXPECT_EQ(state_.all().size(), 2U);
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), (Words{std::string("went ") + folder_one, std::string("let go ") + folder_one}));
  EXPECT_EQ(state_of("sdc1"), MediumState::mounted);
  state_.handle_removed("/dev/none");
  EXPECT_EQ(done(), Words());
}

TEST_F(MediaTest, TooManyAreNotLookedAt) {
  start(false);
  for (unsigned each = 0; each < max_media + 10; ++each)
    state_.handle_device(device("sdb" + std::to_string(each), each, ""), true);
  EXPECT_EQ(state_.all().size(), max_media);
}

TEST(MediumStateTest, EachHasAName) {
  EXPECT_EQ(name_of(MediumState::unmounted), "unmounted");
  EXPECT_EQ(name_of(MediumState::system), "system");
  EXPECT_EQ(name_of(MediumState::superseded), "superseded");
}

}  // namespace
}  // namespace sessionfs::fs::testing
