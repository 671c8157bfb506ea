#include "fs/media_table.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace sessionfs::fs {
namespace {

using Kind = MediaAction::Kind;

const Device stick{{8, 17}, "/dev/sdb1", "/dev/sdb", "vfat", "5E1D-0001", "WORK"};

std::vector<Kind> kinds_of(const std::vector<MediaAction>& actions) {
  std::vector<Kind> kinds;
  for (const auto& action : actions) kinds.push_back(action.kind);
  return kinds;
}

MountEntry mount_at(const std::string& root, const Device& device = stick) {
  return {device.number, "/", root, device.type, device.node};
}

using Kinds = std::vector<Kind>;

TEST(MediaTable, AStickIsMountedAndCanBeUsed) {
  MediaTable table("/run/media");
  const auto asked = table.device_is_there(stick);
  ASSERT_EQ(kinds_of(asked), Kinds{Kind::mount});
  EXPECT_EQ(asked[0].root, "/run/media/5E1D-0001");
  EXPECT_EQ(kinds_of(table.mount_ended(stick.number, true, "")), Kinds{});
  const auto came = table.mounted({mount_at("/run/media/5E1D-0001")});
  ASSERT_EQ(kinds_of(came), Kinds{Kind::came});
  EXPECT_EQ(came[0].root, "/run/media/5E1D-0001");
  EXPECT_EQ(kinds_of(table.mounted({mount_at("/run/media/5E1D-0001")})), Kinds{});
  EXPECT_EQ(table.text(),
            std::vector<std::string>{"/dev/sdb1 vfat label=WORK uuid=5E1D-0001 mounted at /run/media/5E1D-0001"});
}

TEST(MediaTable, OneThatIsToldOfTwiceIsMountedOnce) {
  MediaTable table("/run/media");
  EXPECT_EQ(kinds_of(table.device_is_there(stick)), Kinds{Kind::mount});
  EXPECT_EQ(kinds_of(table.device_is_there(stick)), Kinds{});
}

TEST(MediaTable, WhatADesktopHasMountedIsUsedAsItIs) {
  MediaTable table("/run/media");
  (void)table.mounted({mount_at("/media/joe/WORK")});
  const auto came = table.device_is_there(stick);
  ASSERT_EQ(kinds_of(came), Kinds{Kind::came});
  EXPECT_EQ(came[0].root, "/media/joe/WORK");
  EXPECT_EQ(kinds_of(table.device_is_gone(stick.number)), Kinds{Kind::went});  // it is the desktop's to unmount
}

TEST(MediaTable, WithoutAFolderForThemNothingIsMounted) {
  MediaTable table("");
  EXPECT_EQ(kinds_of(table.device_is_there(stick)), Kinds{});
  EXPECT_EQ(kinds_of(table.mounted({mount_at("/media/joe/WORK")})), Kinds{Kind::came});
}

TEST(MediaTable, APartOfAFileSystemIsNotTheStick) {
  MediaTable table("");
  (void)table.device_is_there(stick);
  auto part = mount_at("/srv/part");
  part.part = "/part";
  EXPECT_EQ(kinds_of(table.mounted({part})), Kinds{});
}

TEST(MediaTable, APulledStickIsGoneAtOnceAndItsMountIsLetGo) {
  MediaTable table("/run/media");
  (void)table.device_is_there(stick);
  (void)table.mounted({mount_at("/run/media/5E1D-0001")});
  EXPECT_EQ(kinds_of(table.device_is_gone(stick.number)), (Kinds{Kind::went, Kind::let_go}));
  EXPECT_EQ(kinds_of(table.mounted({})), Kinds{});
  EXPECT_EQ(table.find("/dev/sdb1"), nullptr);
}

TEST(MediaTable, ItComesBackAsAnotherDevice) {
  MediaTable table("/run/media");
  (void)table.device_is_there(stick);
  (void)table.mounted({mount_at("/run/media/5E1D-0001")});
  Device again = stick;
  again.number = {8, 33};
  again.node = "/dev/sdc1";
  EXPECT_EQ(kinds_of(table.device_is_there(again)), (Kinds{Kind::went, Kind::let_go, Kind::mount}));
}

TEST(MediaTable, AReaderWithoutItsCardIsGone) {
  MediaTable table("/run/media");
  (void)table.device_is_there(stick);
  (void)table.mounted({mount_at("/run/media/5E1D-0001")});
  Device empty = stick;
  empty.type = empty.uuid = empty.label = "";
  EXPECT_EQ(kinds_of(table.device_is_there(empty)), (Kinds{Kind::went, Kind::let_go}));
}

TEST(MediaTable, OneThatSomebodyUnmountsIsNotMountedAgain) {
  MediaTable table("/run/media");
  (void)table.device_is_there(stick);
  (void)table.mounted({mount_at("/run/media/5E1D-0001")});
  EXPECT_EQ(kinds_of(table.mounted({})), Kinds{Kind::went});
  EXPECT_EQ(kinds_of(table.device_is_there(stick)), Kinds{});
  EXPECT_EQ(kinds_of(table.mounted({mount_at("/mnt")})), Kinds{Kind::came});
}

TEST(MediaTable, AnEjectedOneStaysEjectedUntilItComesAnew) {
  MediaTable table("/run/media");
  (void)table.device_is_there(stick);
  (void)table.mounted({mount_at("/run/media/5E1D-0001")});
  table.ejected(stick.number);
  EXPECT_EQ(kinds_of(table.mounted({})), Kinds{});
  EXPECT_EQ(kinds_of(table.device_is_gone(stick.number)), Kinds{Kind::let_go});
  EXPECT_EQ(kinds_of(table.device_is_there(stick)), Kinds{Kind::mount});
}

TEST(MediaTable, WhatCannotBeMountedIsToldOf) {
  MediaTable table("/run/media");
  (void)table.device_is_there(stick);
  const auto told = table.mount_ended(stick.number, false, "wrong fs type\nand more");
  ASSERT_EQ(kinds_of(told), Kinds{Kind::complain});
  EXPECT_EQ(told[0].why.find('\n'), std::string::npos);
  Device odd = stick;
  odd.number = {8, 49};
  odd.uuid = "other";
  odd.type = "squashfs";
  EXPECT_EQ(kinds_of(table.device_is_there(odd)), Kinds{Kind::complain});
}

TEST(MediaTable, AUuidThatIsNoFileNameIsNotUsedAsOne) {
  MediaTable table("/run/media");
  Device odd = stick;
  odd.uuid = "../../etc";
  EXPECT_EQ(table.device_is_there(odd)[0].root, "/run/media/sdb1");
}

TEST(MediaTable, IsFoundByAllThatPeopleCallIt) {
  MediaTable table("/run/media");
  (void)table.device_is_there(stick);
  (void)table.mounted({mount_at("/run/media/5E1D-0001")});
  for (const char* what :
       {"/dev/sdb1", "/dev/sdb", "WORK", "5E1D-0001", "/run/media/5E1D-0001", "/run/media/5E1D-0001/"})
    EXPECT_NE(table.find(what), nullptr) << what;
  for (const char* what : {"", "/", "/dev/sdc1", "/run/media"}) EXPECT_EQ(table.find(what), nullptr) << what;
}

TEST(MountTable, IsReadAsTheKernelWritesIt) {
  std::istringstream mountinfo(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
      "40 35 8:17 / /media/my\\040stick\\134 rw,nosuid shared:1 master:2 - vfat /dev/sdb1 rw\n"
      "no mountinfo\n"
      "\n"
      "41 35 8:x / /mnt rw - ext4 /dev/sdc1 rw\n"
      "42 35 0:39 / /mnt rw -");
  const auto entries = read_mount_table(mountinfo);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].part, "/mnt1");
  EXPECT_EQ(entries[1].root, "/media/my stick\\");
  EXPECT_EQ(entries[1].device, (DeviceNumber{8, 17}));
  EXPECT_EQ(entries[1].type, "vfat");
  EXPECT_EQ(entries[1].source, "/dev/sdb1");
}

}  // namespace
}  // namespace sessionfs::fs
