#include "fs/mount_table.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "tests/fs/own_mounts.hpp"

namespace sessionfs::fs {
namespace {

using namespace std::chrono_literals;

constexpr auto watch_limit = 30s;
constexpr auto watch_quiet = 250ms;

TEST(MountTableTest, ReadsWhatTheKernelWrites) {
  const auto table = parse_mount_table(
      "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
      "65 44 7:1 /docs /media/stick ro,nosuid,nodev shared:1 master:2 - fuseblk /dev/loop1 rw,user_id=0,group_id=0\n");
  ASSERT_EQ(table.size(), 2U);
  EXPECT_EQ(table[0].where, "/proc");
  const MountEntry& stick = table[1];
  EXPECT_EQ(stick.id, 65U);
  EXPECT_EQ(stick.major, 7U);
  EXPECT_EQ(stick.minor, 1U);
  EXPECT_EQ(stick.root, "/docs");
  EXPECT_EQ(stick.where, "/media/stick");
  EXPECT_EQ(stick.options, "ro,nosuid,nodev");
  EXPECT_EQ(stick.type, "fuseblk");
  EXPECT_EQ(stick.source, "/dev/loop1");
  EXPECT_EQ(stick.super_options, "rw,user_id=0,group_id=0");
}

TEST(MountTableTest, UndoesEscapes) {
  const auto table = parse_mount_table(
      "1 0 8:1 / /media/my\\040stick\\011\\012\\134\\043 rw - ext4 /dev/disk\\040one rw\n"
      "2 0 8:2 / /media/\303\245\303\244\303\266 rw - ext4 /dev/sda2 rw\n");
  ASSERT_EQ(table.size(), 2U);
  EXPECT_EQ(table[0].where, "/media/my stick\t\n\\#");
  EXPECT_EQ(table[0].source, "/dev/disk one");
  EXPECT_EQ(table[1].where, "/media/\303\245\303\244\303\266");
}

TEST(MountTableTest, WhatIsNoEscapeStays) {
  const auto table = parse_mount_table("1 0 8:1 / /a\\04\\9\\08x\\777\\ rw - ext4 \\0 rw\n");
  ASSERT_EQ(table.size(), 1U);
  EXPECT_EQ(table[0].where, "/a\\04\\9\\08x\\777\\");
  EXPECT_EQ(table[0].source, "\\0");
}

TEST(MountTableTest, LeavesOutLinesThatItCannotRead) {
  const auto table = parse_mount_table(
      "\n"
      "x 0 8:1 / /a rw - ext4 /dev/sda1 rw\n"
      "-1 0 8:1 / /a rw - ext4 /dev/sda1 rw\n"
      "99999999999999999999999 0 8:1 / /a rw - ext4 /dev/sda1 rw\n"
      "1 0 8 / /a rw - ext4 /dev/sda1 rw\n"
      "1 0 8:x / /a rw - ext4 /dev/sda1 rw\n"
      "1 0 8:1 / a rw - ext4 /dev/sda1 rw\n"
      "1 0 8:1 / /a rw shared:1\n"
      "1 0 8:1 / /a rw -\n"
      "1 0 8:1\n"
      "no mount at all\n"
      "7 0 8:1 / /good rw - ext4 /dev/sda1 rw");  // without a line end
  ASSERT_EQ(table.size(), 1U);
  EXPECT_EQ(table[0].id, 7U);
  EXPECT_EQ(table[0].where, "/good");
}

TEST(MountTableTest, AnySourceWillDo) {
  const auto table = parse_mount_table("1 0 0:50 / /a rw - tmpfs  rw\n2 0 0:51 / /b rw - fuse - rw\n");
  ASSERT_EQ(table.size(), 2U);
  EXPECT_EQ(table[0].source, "");
  EXPECT_EQ(table[0].super_options, "rw");
  EXPECT_EQ(table[1].source, "-");
}

TEST(MountTableTest, SurvivesAnyBytes) {
  std::string text = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n";
  for (std::size_t at = 0; at < text.size(); ++at)
    for (const char c : {'\0', ' ', '\n', '\\', ':', '-', '\377'}) {
      std::string other = text;
      other[at] = c;
      for (const auto& entry : parse_mount_table(other)) EXPECT_TRUE(entry.where.starts_with('/'));
      (void)parse_mount_table(std::string_view(text).substr(0, at));
    }
}

TEST(MountTableTest, FindsOptions) {
  EXPECT_TRUE(has_mount_option("rw,user_id=0", "user_id=0"));
  EXPECT_TRUE(has_mount_option("ro", "ro"));
  EXPECT_FALSE(has_mount_option("rw,user_id=01", "user_id=0"));
  EXPECT_FALSE(has_mount_option("errors=remount-ro", "ro"));
  EXPECT_FALSE(has_mount_option("", "ro"));
}

TEST(MountTableTest, ReadsItsOwn) {
  const auto table = read_mount_table();
  EXPECT_TRUE(std::ranges::any_of(table, [](const MountEntry& each) { return each.where == "/"; }));
  EXPECT_TRUE(std::ranges::any_of(table, [](const MountEntry& each) { return each.type == "proc"; }));
}

using MountWatchTest = testing::OwnMounts;

TEST_F(MountWatchTest, TellsOfEachChange) {
  boost::asio::io_context io;
  int calls = 0;
  MountWatch watch(io, [&] { ++calls; });
  io.run_for(watch_quiet);
  EXPECT_EQ(calls, 0);
  const auto told = [&](const std::string& what) {
    const int before = calls;
    const auto end = std::chrono::steady_clock::now() + watch_limit;
    while (calls == before && std::chrono::steady_clock::now() < end) {
      io.restart();
      io.run_one_for(10ms);
    }
    EXPECT_GT(calls, before) << what;
    io.restart();
    io.run_for(watch_quiet);
  };
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(::mount("none", folder().c_str(), "tmpfs", MS_NOSUID, nullptr), 0) << std::strerror(errno);
    told("mounted");
    EXPECT_TRUE(
        std::ranges::any_of(read_mount_table(), [&](const MountEntry& each) { return each.where == folder(); }));
    ASSERT_EQ(::umount2(folder().c_str(), 0), 0) << std::strerror(errno);
    told("unmounted");
  }
  const int before = calls;
  io.restart();
  io.run_for(watch_quiet);
  EXPECT_EQ(calls, before);
}

TEST_F(MountWatchTest, ManyChangesAreToldAsFew) {
  boost::asio::io_context io;
  int calls = 0;
  MountWatch watch(io, [&] { ++calls; });
  for (int round = 0; round < 200; ++round) {
    ASSERT_EQ(::mount("none", folder().c_str(), "tmpfs", MS_NOSUID, nullptr), 0) << std::strerror(errno);
    ASSERT_EQ(::umount2(folder().c_str(), 0), 0) << std::strerror(errno);
    io.poll();
  }
  io.restart();
  io.run_for(watch_quiet);
  EXPECT_GE(calls, 1);
  EXPECT_LE(calls, 200);
}

}  // namespace
}  // namespace sessionfs::fs
