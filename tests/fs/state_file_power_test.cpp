// State files over kills and power cuts: whose bytes were read, and what may be believed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "fs/state_file.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::size_t small_capacity = 4096;

class StateFilePowerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(testing::TempDir()) /
        ("power-" + std::to_string(getpid()) + "-" + testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "session";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Disk disk(Durability durability, int boot) {
    Disk disk{.durability = durability, .boot = {}};
    disk.boot[0] = static_cast<std::byte>(boot);
    return disk;
  }
  static SessionImage image(std::uint64_t read, std::uint64_t held) {
    SessionImage image;
    image.local = *EndpointName::parse("a@local");
    image.peer = *EndpointName::parse("b@local");
    image.service = "file";
    image.file_name = "file~b@local~1";
    image.received = {.read = read, .held = held, .start = small_capacity - 2};
    return image;
  }
  void make(const Disk& disk) const { StateFile::create(path_, small_capacity, disk)->save(image(10, 30)); }

  std::filesystem::path folder_;
  std::filesystem::path path_;
};

TEST_F(StateFilePowerTest, WhatWasBeingReadWhenTheDaemonWasKilledCountsAsRead) {
  make(disk(Durability::process, 1));
  StateFile::open(path_, disk(Durability::process, 1))->note_given(25);
  const auto stored = StateFile::open(path_, disk(Durability::process, 1))->load();
  ASSERT_TRUE(stored && stored->unsure);
  EXPECT_EQ(stored->image.received.read, 25U);
  EXPECT_EQ(stored->image.received.start, 13U) << "round the end of the buffer";
  EXPECT_EQ(describe(*stored->unsure), "bytes 10 to 25 count as read: they were being read when the daemon was killed");
}

TEST_F(StateFilePowerTest, WhatWasBeingReadWhenThePowerWasCutIsGivenAgain) {
  make(disk(Durability::power, 1));
  StateFile::open(path_, disk(Durability::power, 1))->note_given(25);
  const auto stored = StateFile::open(path_, disk(Durability::power, 2))->load();
  ASSERT_TRUE(stored && stored->unsure);
  EXPECT_EQ(stored->image.received.read, 10U);
  EXPECT_EQ(describe(*stored->unsure),
            "bytes 10 to 25 are given again: they may have been read before the power was cut");
}

TEST_F(StateFilePowerTest, WhatIsGivenAgainStaysUnreadUntilItIsRead) {
  for (const bool cleanly : {false, true}) {
    std::filesystem::remove(path_);
    make(disk(Durability::power, 1));
    StateFile::open(path_, disk(Durability::power, 1))->note_given(25);
    {
      const auto file = StateFile::open(path_, disk(Durability::power, 2));
      ASSERT_TRUE(file->load()->unsure);
      if (cleanly) file->finish();
    }
    // The daemon has ended again, before anybody has read.
    const auto stored = StateFile::open(path_, disk(Durability::power, 2))->load();
    ASSERT_TRUE(stored);
    EXPECT_EQ(stored->image.received.read, 10U);
    EXPECT_FALSE(stored->unsure);
  }
}

TEST_F(StateFilePowerTest, ACursorThatTheImageHasPassedSaysNothing) {
  make(disk(Durability::process, 1));
  const auto file = StateFile::open(path_, disk(Durability::process, 1));
  file->note_given(5);
  EXPECT_FALSE(file->load()->unsure);
  file->note_given(UINT64_MAX);
  EXPECT_EQ(file->load()->image.received.read, 30U) << "damaged, it goes no further than there are bytes";
}

TEST_F(StateFilePowerTest, OnlyWhatIsSyncedOrFinishedOutlivesAPowerCut) {
  make(disk(Durability::process, 1));
  EXPECT_THROW(StateFile::open(path_, disk(Durability::process, 2)), Damaged);
  EXPECT_THROW(StateFile::open(path_, disk(Durability::power, 2)), Damaged);
  StateFile::open(path_, disk(Durability::process, 1))->finish();
  EXPECT_TRUE(StateFile::open(path_, disk(Durability::process, 2))->load());
  EXPECT_THROW(StateFile::open(path_, disk(Durability::process, 3)), Damaged) << "it was in use again";
}

TEST_F(StateFilePowerTest, TheDurabilityOfTheLastUseCounts) {
  make(disk(Durability::process, 1));
  EXPECT_TRUE(StateFile::open(path_, disk(Durability::power, 1))->load());
  EXPECT_TRUE(StateFile::open(path_, disk(Durability::power, 2))->load());
  EXPECT_TRUE(StateFile::open(path_, disk(Durability::process, 2))->load());
  EXPECT_THROW(StateFile::open(path_, disk(Durability::process, 3)), Damaged);
}

TEST_F(StateFilePowerTest, WhatIsNotOnTheDiskIsNotStored) {
  Disk broken = disk(Durability::power, 1);
  broken.sync = [](int) {
    errno = EIO;
    return -1;
  };
  const auto file = StateFile::create(path_, small_capacity, broken);
  EXPECT_THROW(file->save(image(0, 0)), std::system_error);
  EXPECT_THROW(file->finish(), std::system_error);
}

// The kernel tells of a page that it could not write once, and forgets it.
TEST_F(StateFilePowerTest, WhatOnceCouldNotBeSyncedIsNeverSaidToBeOnTheDisk) {
  make(disk(Durability::power, 1));
  {
    Disk broken = disk(Durability::power, 1);
    int calls = 0;
    broken.sync = [&](int) {
      errno = EIO;
      return ++calls == 1 ? -1 : 0;
    };
    const auto file = StateFile::open(path_, broken);
    EXPECT_THROW(file->save(image(12, 30)), std::system_error);
    EXPECT_THROW(file->finish(), std::system_error);
  }
  const auto stored = StateFile::open(path_, disk(Durability::power, 2))->load();
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->image.received.read, 10U);
}

TEST_F(StateFilePowerTest, WhatWasNeverSavedIsNothing) {
  const auto file = StateFile::create(path_, small_capacity, disk(Durability::process, 1));
  EXPECT_TRUE(StateFile::never_saved(path_));
  file->save(image(0, 0));
  EXPECT_FALSE(StateFile::never_saved(path_));
  std::filesystem::resize_file(path_, 0);
  EXPECT_TRUE(StateFile::never_saved(path_)) << "killed before it had its size";
  EXPECT_THROW((void)StateFile::never_saved(folder_ / "none"), std::system_error);
}

TEST_F(StateFilePowerTest, ThereIsABoot) { EXPECT_NE(present_boot(), BootId{}); }

}  // namespace
}  // namespace sessionfs::fs
