#include "fs/stick.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "fs/files.hpp"
#include "fs/sealed.hpp"

namespace sessionfs::fs {
namespace {

using std::filesystem::path;

class StickTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = path(::testing::TempDir()) / ("stick-" + std::to_string(getpid()) + "-" +
                                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static std::string record(const std::string& name = "storage@verkstad.net") {
    EndpointRecord record;
    record.name = *EndpointName::parse(name);
    record.private_key = "a key";
    const auto bytes = encode(record);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  path put(const std::string& folder, const std::string& content = record()) {
    std::filesystem::create_directories(root_ / folder);
    std::ofstream(root_ / folder / ".endpoint", std::ios::binary) << content;
    return root_ / folder;
  }
  static void refuses(const path& folder, int error, const std::string& word, const std::string& passphrase = "") {
    try {
      (void)read_record(folder, passphrase);
      ADD_FAILURE() << "read " << folder;
    } catch (const BadRecord& bad) {
      EXPECT_EQ(bad.error, error) << bad.what();
      EXPECT_NE(std::string(bad.what()).find(word), std::string::npos) << bad.what();
      EXPECT_EQ(std::string(bad.what()).find('\n'), std::string::npos) << bad.what();
    }
  }

  path root_;
};

TEST_F(StickTest, ARecordIsRead) {
  const auto read = read_record(put("storage@verkstad.net"), "");
  EXPECT_EQ(read.record.name.str(), "storage@verkstad.net");
  EXPECT_EQ(read.seal, "");
}

TEST_F(StickTest, ASealedRecordNeedsItsPassphrase) {
  const auto folder = put("storage@verkstad.net", SealKey::from_passphrase("open sesame").seal(record()));
  refuses(folder, ENOKEY, "passphrase");
  refuses(folder, EKEYREJECTED, "passphrase", "open barley");
  const auto read = read_record(folder, "open sesame");
  EXPECT_EQ(read.record.private_key, "a key");
  EXPECT_TRUE(SealKey::from_text(read.seal));
}

TEST_F(StickTest, ASealedRecordOpensWithAKeyThatIsKnown) {
  const auto key = SealKey::from_passphrase("open sesame");
  const auto folder = put("storage@verkstad.net", key.seal(record()));
  EXPECT_EQ(read_record(folder, "", key.text()).record.private_key, "a key");
  EXPECT_EQ(read_record(folder, "open sesame", "no key").seal, key.text());
  EXPECT_THROW((void)read_record(folder, "", SealKey::from_passphrase("open sesame").text()), BadRecord);
}

TEST_F(StickTest, WhatIsNoRecord) {
  refuses(root_ / "nothing", ENOENT, "No such file");
  std::filesystem::create_directory(root_ / "empty");
  refuses(root_ / "empty", ENOENT, "holds no record");
  refuses(put("damaged", record().substr(1)), EINVAL, "damaged");
  refuses(put("text", "not a record\n"), EINVAL, "damaged");
}

TEST_F(StickTest, OnlyAPlainFileIsARecord) {
  for (const char* name : {"link", "pipe", "folder"}) std::filesystem::create_directory(root_ / name);
  std::filesystem::create_symlink("/etc/passwd", root_ / "link" / ".endpoint");
  refuses(root_ / "link", EINVAL, "symbolic link");
  ASSERT_EQ(::mkfifo((root_ / "pipe" / ".endpoint").c_str(), 0600), 0);
  refuses(root_ / "pipe", EINVAL, "no plain file");
  std::filesystem::create_directory(root_ / "folder" / ".endpoint");
  refuses(root_ / "folder", EINVAL, "no plain file");
}

TEST_F(StickTest, OneThatIsTooLargeIsNotRead) {
  const auto folder = put("large");
  std::filesystem::resize_file(folder / ".endpoint", std::uintmax_t{1} << 40);
  refuses(folder, EFBIG, "too large");
}

TEST_F(StickTest, AStickHoldsFoldersWithARecordAndAName) {
  put("storage@verkstad.net");
  put("laptop@verkstad.net");
  put("Storage@verkstad.net");
  put("photos");
  put("bell\a@verkstad.net");
  std::filesystem::create_directories(root_ / "empty@verkstad.net");
  std::filesystem::create_directory_symlink("/etc", root_ / "linked@verkstad.net");
  std::ofstream(root_ / "file@verkstad.net") << "no folder";
  auto content = look_at_stick(root_);
  std::ranges::sort(content.folders);
  EXPECT_EQ(content.folders, (std::vector<path>{root_ / "laptop@verkstad.net", root_ / "storage@verkstad.net"}));
  std::ranges::sort(content.faults);
  ASSERT_EQ(content.faults.size(), 4U);
  for (const auto& fault : content.faults) {
    EXPECT_TRUE(std::ranges::none_of(fault, [](char c) { return static_cast<unsigned char>(c) < ' '; })) << fault;
  }
  const auto says = [&](const std::string& words) {
    return std::ranges::any_of(content.faults,
                               [&](const auto& fault) { return fault.find(words) != std::string::npos; });
  };
  EXPECT_TRUE(says("linked@verkstad.net: is a symbolic link"));
  EXPECT_TRUE(says("photos: holds a record, but its name is not an endpoint's"));
}

TEST_F(StickTest, AStickOfManyFilesIsLookedAtInPart) {
  for (std::size_t i = 0; i <= max_stick_entries; ++i) std::ofstream(root_ / std::to_string(i)).flush();
  const auto content = look_at_stick(root_);
  ASSERT_EQ(content.faults.size(), 1U);
  EXPECT_NE(content.faults[0].find("too many files"), std::string::npos);
}

TEST_F(StickTest, FaultsAreBounded) {
  for (int i = 0; i < 100; ++i)
    std::filesystem::create_directory_symlink("/etc", root_ / ("x" + std::to_string(i) + "@verkstad.net"));
  EXPECT_EQ(look_at_stick(root_).faults.size(), max_stick_faults);
}

TEST_F(StickTest, OneThatCannotBeReadIsAnError) { EXPECT_THROW(look_at_stick(root_ / "nowhere"), std::system_error); }

}  // namespace
}  // namespace sessionfs::fs
