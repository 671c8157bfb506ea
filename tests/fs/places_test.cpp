#include "fs/places.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

namespace sessionfs::fs {
namespace {

using std::filesystem::path;

class Places : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(root_ / "folder/inside"); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  [[nodiscard]] bool leads(const path& way) const { return leads_into(root_ / way, root_ / "folder"); }
  void link(const path& name, const path& target) const { std::filesystem::create_symlink(target, root_ / name); }

  path root_ =
      std::filesystem::canonical(::testing::TempDir()) /
      ("places-" + std::to_string(getpid()) + "-" + ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(Places, ByName) {
  EXPECT_TRUE(lies_below("/a/b", "/a"));
  EXPECT_TRUE(lies_below("/a", "/a"));
  EXPECT_FALSE(lies_below("/ab", "/a"));
  EXPECT_FALSE(lies_below("/", "/a"));
}

TEST_F(Places, WithoutLinks) {
  for (const char* way : {"folder", "folder/x", "folder/inside/x", "./folder", "other/../folder", "folder/../folder/x"})
    EXPECT_TRUE(leads(way)) << way;
  for (const char* way : {"", "folders", "other/folder", ".."}) EXPECT_FALSE(leads(way)) << way;
}

TEST_F(Places, ByLinksAnywhereOnTheWay) {
  link("absolute", root_ / "folder");
  link("relative", "folder/inside");
  link("twice", "absolute/inside");
  link("above", "..");
  for (const char* way : {"absolute", "absolute/x", "relative/x", "twice", "twice/x/y"}) EXPECT_TRUE(leads(way)) << way;
  EXPECT_TRUE(leads("above" / root_.filename() / "folder"));
  EXPECT_FALSE(leads("above/x"));
}

TEST_F(Places, LinksInACircleLeadNowhere) {
  link("one", "two");
  link("two", "one");
  EXPECT_FALSE(leads("one/x"));
}

}  // namespace
}  // namespace sessionfs::fs
