// Ejecting media, and finding the one that is meant.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/fs/media_fixture.hpp"

namespace sessionfs::fs::testing {
namespace {

// --- Ejecting ------------------------------------------------------------------------------------------------------

class EjectTest : public MediaTest {
 protected:
  void SetUp() override {
    start();
    plug_in(stick_, folder_one);
  }
  void begin() {
    state_.begin_eject("/dev/sdb1", 1);
    ASSERT_EQ(done(), Words{std::string("sync ") + folder_one});
    ASSERT_EQ(state_of("sdb1"), MediumState::ejecting);
  }
  void synced() {
    state_.handle_synced(turn_, true, "");
    ASSERT_EQ(done(), Words{std::string("umount ") + folder_one});
  }

  MediumDevice stick_ = device("sdb1", 17, uuid_one);
};

TEST_F(EjectTest, ItIsSyncedAndUnmountedAndStaysSo) {
  begin();
  synced();
  unmounted(folder_one);
  EXPECT_EQ(done(), Words());
  state_.handle_unmounted(turn_, true, "");
  EXPECT_EQ(done(), (Words{std::string("went ") + folder_one, std::string("rmdir ") + folder_one, "ejected 0"}));
  EXPECT_EQ(state_of("sdb1"), MediumState::ejected);
  state_.handle_device(stick_, false);
  state_.handle_table(table_);
  EXPECT_EQ(done(), Words());
  state_.handle_removed("/dev/sdb1");
  EXPECT_EQ(done(), Words());
  plug_in(stick_, folder_one);
}

TEST_F(EjectTest, PluggedInAnewItIsMounted) {
  begin();
  synced();
  unmounted(folder_one);
  state_.handle_unmounted(turn_, true, "");
  done();
  plug_in(stick_, folder_one);
}

TEST_F(EjectTest, WhoUsesItIsNotCutOff) {
  begin();
  synced();
  state_.handle_unmounted(turn_, false, "umount: /run/m: target is busy.");
  const auto lines = done();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_TRUE(lines[0].starts_with("ejected " + std::to_string(EBUSY) + " /dev/sdb1: " + folder_one + " is in use"));
  EXPECT_EQ(state_of("sdb1"), MediumState::mounted);
  begin();  // again
}

TEST_F(EjectTest, WhatCannotBeWrittenIsNotUnmounted) {
  begin();
  state_.handle_synced(turn_, false, "sync: error syncing: Input/output\nerror");
  EXPECT_EQ(done(), Words{"ejected " + std::to_string(EIO) +
                          " /dev/sdb1: not all could be written to it: sync: error syncing: Input/output?error"});
  EXPECT_EQ(state_of("sdb1"), MediumState::mounted);
}

TEST_F(EjectTest, OtherTrouble) {
  begin();
  synced();
  state_.handle_unmounted(turn_, false, "umount: must be superuser");
  EXPECT_EQ(done(), Words{"ejected " + std::to_string(EIO) + " /dev/sdb1: " + folder_one +
                          " cannot be unmounted: umount: must be superuser"});
}

TEST_F(EjectTest, ItIsUnmountedEverywhere) {
  mounted(stick_, "/mnt");
  mounted(stick_, "/bound", "/photos");
  begin();
  synced();
  unmounted(folder_one);
  state_.handle_unmounted(turn_, true, "");
  EXPECT_EQ(done(), Words{"umount /mnt"});
  unmounted("/mnt");
  state_.handle_unmounted(turn_, true, "");
  EXPECT_EQ(done(), Words{"umount /bound"});
  unmounted("/bound");
  state_.handle_unmounted(turn_, true, "");
  EXPECT_EQ(done().back(), "ejected 0");
}

TEST_F(EjectTest, ItIsInUseSomewhereElse) {
  mounted(stick_, "/mnt");
  begin();
  synced();
  unmounted(folder_one);
  state_.handle_unmounted(turn_, true, "");
  EXPECT_EQ(done(), Words{"umount /mnt"});
  state_.handle_unmounted(turn_, false, "target is busy");
  const auto lines = done();
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0], std::string("went ") + folder_one);
  EXPECT_EQ(lines[2], "came /mnt");
  EXPECT_TRUE(lines[3].starts_with("ejected " + std::to_string(EBUSY)));
}

TEST_F(EjectTest, WhatLiesOverItIsNotTouched) {
  const auto other = device("sdc1", 33, uuid_two);
  state_.handle_device(other, true);
  done();
  begin();
  mounted(other, folder_one);
  state_.handle_mounted(folder_two, false, "no");
  EXPECT_EQ(done(), Words{std::string("rmdir ") + folder_two}) << "the first is still there";
  state_.handle_synced(turn_, true, "");
  EXPECT_EQ(
      done(),
      (Words{std::string("went ") + folder_one, std::string("rmdir ") + folder_one, std::string("came ") + folder_one,
             "ejected " + std::to_string(EBUSY) + " /dev/sdb1: something else is mounted over " + folder_one}));
}

TEST_F(EjectTest, OneThatIsMountedAllTheTimeIsGivenUp) {
  begin();
  synced();
  for (int round = 1; round < max_unmounts; ++round) {
    state_.handle_unmounted(turn_, true, "");
    EXPECT_EQ(done(), Words{std::string("umount ") + folder_one});
  }
  state_.handle_unmounted(turn_, true, "");
  EXPECT_TRUE(done().front().starts_with("ejected " + std::to_string(EIO)));
}

TEST_F(EjectTest, AnotherHasUnmountedItMeanwhile) {
  begin();
  unmounted(folder_one);
  state_.handle_synced(turn_, true, "");
  EXPECT_EQ(done().back(), "ejected 0");
  plug_in(stick_, folder_one);
  begin();
  synced();
  unmounted(folder_one);
  state_.handle_unmounted(turn_, false, "not mounted");
  EXPECT_EQ(done().back(), "ejected 0");
}

TEST_F(EjectTest, ItIsPulledMeanwhile) {
  for (const bool after_sync : {false, true}) {
    begin();
    if (after_sync) synced();
    state_.handle_removed("/dev/sdb1");
    EXPECT_EQ(done(), (Words{"ejected " + std::to_string(ENODEV) + " /dev/sdb1 is not there any more",
                             std::string("went ") + folder_one, std::string("let go ") + folder_one}));
    unmounted(folder_one);
    state_.handle_let_go(folder_one);
    EXPECT_EQ(done().size(), 1U);
    plug_in(stick_, folder_one);
    // What belongs to the one before does nothing.
    state_.handle_synced(turn_, false, "Input/output error");
    state_.handle_unmounted(turn_, true, "");
    EXPECT_EQ(done(), Words());
    EXPECT_EQ(state_of("sdb1"), MediumState::mounted);
  }
}

TEST_F(EjectTest, TwiceAtATimeIsOnce) {
  begin();
  state_.begin_eject("/dev/sdb1", 2);
  EXPECT_EQ(done(), Words{"ejected " + std::to_string(EALREADY) + " /dev/sdb1 is being ejected already"});
  synced();
}

TEST_F(EjectTest, WhatIsNotMountedIsSafeAlready) {
  unmounted(folder_one);
  done();
  state_.begin_eject("/dev/sdb1", 1);
  EXPECT_EQ(done(), Words{"ejected 0"});
  EXPECT_EQ(state_of("sdb1"), MediumState::ejected);
  state_.begin_eject("/dev/sdx", 1);
  EXPECT_EQ(done(), Words{"ejected " + std::to_string(ENODEV) + " /dev/sdx is no medium that is plugged in"});
  state_.handle_device(device("sdc1", 33, uuid_two), true);
  done();
  state_.begin_eject("/dev/sdc1", 1);
  EXPECT_EQ(done(), Words{"ejected " + std::to_string(EBUSY) + " /dev/sdc1 is just being mounted"});
}

TEST_F(EjectTest, OneThatWaitsForItsFolderIsNotMounted) {
  state_.handle_device(device("sdc1", 33, uuid_one), true);
  done();
  EXPECT_EQ(state_of("sdc1"), MediumState::waiting);
  state_.begin_eject("/dev/sdc1", 1);
  EXPECT_EQ(done(), Words{"ejected 0"});
  unmounted(folder_one);
  state_.handle_let_go(folder_one);
  EXPECT_EQ(done(), Words{std::string("rmdir ") + folder_one});
}

// --- Finding -------------------------------------------------------------------------------------------------------

class FindTest : public MediaTest {
 protected:
  void SetUp() override {
    start();
    plug_in(device("sdb1", 17, uuid_one), folder_one);
    plug_in(device("sdc1", 33, uuid_two), folder_two);
    state_.handle_device(device("sdc2", 34, "", "iso9660"), true);
    done();
  }
  std::string found(const std::string& what) {
    const auto result = state_.find(what);
    std::string nodes = result.error == 0 ? "" : "errno " + std::to_string(result.error);
    EXPECT_EQ(result.error == 0, !result.media.empty());
    EXPECT_EQ(result.error == 0, result.why.empty());
    for (const auto& each : result.media) nodes += (nodes.empty() ? "" : " ") + each.device.node;
    return nodes;
  }
};

TEST_F(FindTest, ByWhateverItIsKnownBy) {
  EXPECT_EQ(found("/dev/sdb1"), "/dev/sdb1");
  EXPECT_EQ(found("sdb1"), "/dev/sdb1");
  EXPECT_EQ(found(std::string("/dev/disk/by-uuid/") + uuid_one), "/dev/sdb1");
  EXPECT_EQ(found(uuid_one), "/dev/sdb1");
  EXPECT_EQ(found("abcd-1234"), "/dev/sdc1");
  EXPECT_EQ(found("label of sdc1"), "/dev/sdc1");
  EXPECT_EQ(found(folder_one), "/dev/sdb1");
  EXPECT_EQ(found(std::string(folder_one) + "/"), "/dev/sdb1");
  EXPECT_EQ(found("/run/m/../m/ABCD-1234"), "/dev/sdc1");
}

TEST_F(FindTest, OfADiskThoseThatAreMounted) {
  EXPECT_EQ(found("/dev/sdb"), "/dev/sdb1");
  EXPECT_EQ(found("/dev/sdc"), "/dev/sdc1");
  plug_in(device("sdc3", 35, "THIRD"), "/run/m/THIRD");
  EXPECT_EQ(found("sdc"), "/dev/sdc1 /dev/sdc3");
  unmounted("/run/m/THIRD");
  unmounted(folder_two);
  EXPECT_EQ(found("/dev/sdc"), "/dev/sdc1 /dev/sdc2 /dev/sdc3");
}

TEST_F(FindTest, SaysWhatThereIs) {
  const std::string none = "errno " + std::to_string(ENODEV);
  for (const std::string what : {"", "/", "/dev/sdx", "/dev", "x\ny", "/run/m"}) EXPECT_EQ(found(what), none) << what;
  EXPECT_EQ(state_.find("x\ny").why, "no medium is named x?y; there are: /dev/sdb1 /dev/sdc1 /dev/sdc2");
  EXPECT_EQ(MediaState({"/run/m", true, 0, 0}).find("x").why, "no medium is named x; none is plugged in");
}

TEST_F(FindTest, ALabelMustBeClear) {
  auto twin = device("sdd1", 49, "TWIN");
  twin.label = "label of sdb1";
  state_.handle_device(twin, true);
  done();
  EXPECT_EQ(found("label of sdb1"), "errno " + std::to_string(EINVAL));
  EXPECT_EQ(state_.find("label of sdb1").why, "several media are named label of sdb1: /dev/sdb1 /dev/sdd1");
}

}  // namespace
}  // namespace sessionfs::fs::testing
