#include "fs/state_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

namespace sessionfs::fs {
namespace {

constexpr std::size_t capacity = 64 * 1024;

SessionImage some_image(std::uint64_t written) {
  SessionImage image;
  image.id.bytes.fill(7);
  image.local = *EndpointName::parse("a@local");
  image.peer = *EndpointName::parse("b@local");
  image.service = "file";
  image.file_name = "file.b@local";
  image.creator = true;
  image.sent.written = written;
  return image;
}

class StateFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(testing::TempDir()) /
        ("state-" + std::to_string(getpid()) + "-" + testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "session";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  std::filesystem::path path_;
  Disk disk_;
};

TEST_F(StateFileTest, WhatWasPutThereIsThereAgain) {
  {
    const auto file = StateFile::create(path_, capacity, disk_);
    auto memories = file->memories();
    ASSERT_TRUE(memories.send->reserve(100));
    ASSERT_TRUE(memories.receive->reserve(100));
    std::memset(memories.send->bytes().data(), 's', 100);
    std::memset(memories.receive->bytes().data(), 'r', 100);
    file->save(some_image(100));
  }
  struct stat st {};
  ASSERT_EQ(stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
  const auto file = StateFile::open(path_, disk_);
  const auto stored = file->load();
  ASSERT_TRUE(stored);
  EXPECT_FALSE(stored->unsure);
  EXPECT_EQ(stored->image.sent.written, 100U);
  EXPECT_EQ(stored->image.file_name, "file.b@local");
  auto memories = file->memories();
  EXPECT_EQ(memories.send->bytes()[99], std::byte{'s'});
  EXPECT_EQ(memories.receive->bytes()[99], std::byte{'r'});
}

TEST_F(StateFileTest, TheNewestWholeImageCounts) {
  auto file = StateFile::create(path_, capacity, disk_);
  EXPECT_FALSE(file->load());
  for (std::uint64_t n = 1; n <= 10; ++n) {
    file->save(some_image(n));
    EXPECT_EQ(file->load()->image.sent.written, n);
  }
}

// A power cut may have come while it was written. Else it was whole once, and the one before is out of date.
TEST_F(StateFileTest, OnlyAfterAPowerCutADamagedImageFallsBackToTheOneBefore) {
  disk_.durability = Durability::power;
  Disk after_cut = disk_;
  after_cut.boot[0] ^= std::byte{1};
  {
    const auto file = StateFile::create(path_, capacity, disk_);
    file->save(some_image(1));
    file->save(some_image(2));
  }
  // The second save went to the other slot; one of both offsets holds the newest image.
  for (const std::streamoff slot : {512, 2048}) {
    std::fstream raw(path_, std::ios::in | std::ios::out | std::ios::binary);
    raw.seekg(slot + 40);
    const char before = static_cast<char>(raw.get());
    raw.seekp(slot + 40);
    raw.put(static_cast<char>(before ^ 1));
    raw.close();
    EXPECT_EQ(StateFile::open(path_, disk_)->load().has_value(), slot != 512) << slot;
    const auto stored = StateFile::open(path_, after_cut)->load();
    ASSERT_TRUE(stored);
    EXPECT_EQ(stored->image.sent.written, slot == 512 ? 1U : 2U) << slot;
    std::swap(disk_.boot, after_cut.boot);
    std::fstream repaired(path_, std::ios::in | std::ios::out | std::ios::binary);
    repaired.seekp(slot + 40);
    repaired.put(before);
  }
}

// The largest of all sequences has no next one: what is saved after it would be the older image for ever.
TEST_F(StateFileTest, ADamagedSequenceIsNoNewerOne) {
  for (const std::streamoff slot : {512, 2048}) {
    {
      const auto file = StateFile::create(path_, capacity, disk_);
      file->save(some_image(1));
      file->save(some_image(2));
    }
    std::fstream raw(path_, std::ios::in | std::ios::out | std::ios::binary);
    raw.seekp(slot);
    raw << std::string(8, '\xff');
    raw.close();
    const auto file = StateFile::open(path_, disk_);
    ASSERT_TRUE(file->load());
    EXPECT_EQ(file->load()->image.sent.written, slot == 512 ? 1U : 2U) << slot;
    for (std::uint64_t n = 3; n <= 5; ++n) {
      file->save(some_image(n));
      EXPECT_EQ(file->load()->image.sent.written, n) << slot;
    }
    EXPECT_EQ(StateFile::open(path_, disk_)->load()->image.sent.written, 5U) << slot;
    file->remove();
  }
}

TEST_F(StateFileTest, ADamagedSizeCountsAsADamagedImage) {
  {
    const auto file = StateFile::create(path_, capacity, disk_);
    file->save(some_image(1));
    file->save(some_image(2));
  }
  std::fstream raw(path_, std::ios::in | std::ios::out | std::ios::binary);
  raw.seekp(512 + 8);
  raw << std::string(4, '\xff');
  raw.close();
  EXPECT_EQ(StateFile::open(path_, disk_)->load()->image.sent.written, 1U) << "the number beside it is damaged, too";
}

TEST_F(StateFileTest, WhatIsNoStateFileIsRefused) {
  EXPECT_THROW(StateFile::open(path_, disk_), std::system_error);
  std::ofstream(path_) << "something else";
  EXPECT_THROW(StateFile::open(path_, disk_), std::runtime_error);
  std::filesystem::remove(path_);
  { const auto file = StateFile::create(path_, capacity, disk_); }
  std::filesystem::resize_file(path_, 5000);
  EXPECT_THROW(StateFile::open(path_, disk_), std::runtime_error);
  EXPECT_THROW(StateFile::create(path_, capacity, disk_), std::system_error) << "it is there already";
}

TEST_F(StateFileTest, BlocksComeAndGoWithTheContent) {
  const auto file = StateFile::create(path_, std::size_t{1} << 20, disk_);
  auto memories = file->memories();
  struct stat st {};
  ASSERT_EQ(stat(path_.c_str(), &st), 0);
  EXPECT_LE(st.st_blocks * 512, 16 * 1024);
  ASSERT_TRUE(memories.send->reserve(std::size_t{1} << 20));
  std::memset(memories.send->bytes().data(), 1, std::size_t{1} << 20);
  memories.send->release();
  ASSERT_EQ(stat(path_.c_str(), &st), 0);
  EXPECT_LE(st.st_blocks * 512, 16 * 1024);
  EXPECT_EQ(memories.send->bytes()[5], std::byte{0});
}

TEST_F(StateFileTest, RemovedWhileInUseItStaysForItsOwners) {
  auto file = StateFile::create(path_, capacity, disk_);
  auto memories = file->memories();
  file->remove();
  file.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  memories.send->bytes()[0] = std::byte{1};
}

}  // namespace
}  // namespace sessionfs::fs
