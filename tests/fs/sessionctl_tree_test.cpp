#include "fs/sessionctl/tree.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>

#include "fs/sessionctl/passphrase.hpp"
#include "fs/sessionctl/travel.hpp"

namespace sessionfs::ctl {
namespace {

namespace filesystem = std::filesystem;
using Paths = std::vector<filesystem::path>;

Paths mounts_of(const std::string& text) {
  std::istringstream mountinfo(text);
  return mounts(mountinfo, 1000);
}

TEST(SessionctlMounts, OnlyThoseOfSessionfsSorted) {
  EXPECT_EQ(mounts_of("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                      "40 22 0:50 / /session rw,nosuid shared:7 master:2 - fuse.sessionfs sessionfs rw,user_id=0\n"
                      "41 22 0:51 / /mnt/x rw - fuse.sessionfs2 sessionfs rw\n"
                      "42 22 0:52 / /a - fuse.sessionfs a,name rw\n"
                      "43 22 0:53 / /b rw - fuse fuse.sessionfs rw\n"),
            (Paths{"/a", "/session"}));
}

TEST(SessionctlMounts, OnesOwnGoBeforeThoseOfOthers) {
  const std::string others =
      "40 22 0:50 / /home/b rw - fuse.sessionfs sessionfs rw,user_id=1001,group_id=1000\n"
      "41 22 0:51 / /session rw - fuse.sessionfs sessionfs rw,user_id=0,allow_other\n";
  EXPECT_EQ(mounts_of(others), (Paths{"/home/b", "/session"}));
  EXPECT_EQ(mounts_of(others + "42 22 0:52 / /home/a rw - fuse.sessionfs sessionfs rw,user_id=1000\n"),
            Paths{"/home/a"});
}

TEST(SessionctlMounts, OneThatIsBoundElsewhereCountsOnce) {
  EXPECT_EQ(mounts_of("40 22 0:50 / /session rw - fuse.sessionfs sessionfs rw\n"
                      "44 22 0:50 / /also rw - fuse.sessionfs sessionfs rw\n"
                      "45 22 0:50 /a@local /home/a rw - fuse.sessionfs sessionfs rw\n"),
            Paths{"/session"});
  EXPECT_TRUE(mounts_of("45 22 0:50 /a@local /home/a rw - fuse.sessionfs sessionfs rw\n").empty());
}

TEST(SessionctlMounts, OddNamesOfPlaces) {
  EXPECT_EQ(mounts_of("40 22 0:50 / /my\\040files\\134x rw - fuse.sessionfs - rw\n"), Paths{"/my files\\x"});
  EXPECT_EQ(mounts_of("40 22 0:50 / /a\\9\\04 rw - fuse.sessionfs - rw\n"), Paths{"/a\\9\\04"});
}

TEST(SessionctlMounts, LinesThatAreCutOff) {
  for (const auto* text : {"", "\n", "40", "40 22 0:50 / /session", "40 22 0:50 / /session rw -", "- - - - - - -",
                           "40 22 0:50 / /session rw shared:1 fuse.sessionfs"})
    EXPECT_TRUE(mounts_of(text).empty()) << text;
}

TEST(SessionctlValues, AllLinesOfAKey) {
  const std::string status = "endpoints: 2\nendpoint: a\nother: endpoint: b\nendpoint: c: d\nendpoint:e\nempty: \n";
  EXPECT_EQ(values_of(status, "endpoint"), (std::vector<std::string>{"a", "c: d"}));
  EXPECT_EQ(value_of(status, "endpoint"), "a");
  EXPECT_EQ(value_of(status, "empty"), "");
  EXPECT_EQ(value_of(status, "nothing"), "");
}

// A folder with ordinary files in the place of a mount.
class SessionctlTree : public ::testing::Test {
 protected:
  void SetUp() override {
    mount_ = filesystem::path(testing::TempDir()) / ("sessionctl-" + std::to_string(getpid()) + "-" +
                                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    write("status", "mount: /session\ndomain: local\nname server: in this daemon\ndefault endpoint: desk@local\n");
    write("ctl", "");
    for (const auto* name : {"desk@local", "a@local"}) {
      write(name + std::string("/status"), std::string("endpoint: ") + name + "\n");
      write(name + std::string("/ctl"), "");
      filesystem::create_directories(mount_ / name / "sessions");
    }
    ::unsetenv("SESSIONFS_MOUNT");
  }
  void TearDown() override {
    ::unsetenv("SESSIONFS_MOUNT");
    filesystem::remove_all(mount_);
  }

  void write(const std::string& file, const std::string& text) const {
    filesystem::create_directories((mount_ / file).parent_path());
    std::ofstream(mount_ / file) << text;
  }

  [[nodiscard]] std::string read(const std::string& file) const {
    std::ifstream in(mount_ / file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  // What writes to it fails with ENOSPC.
  void make_full(const std::string& file) const {
    filesystem::remove(mount_ / file);
    filesystem::create_symlink("/dev/full", mount_ / file);
  }

  [[nodiscard]] Tree tree() const { return Tree(mount_.string()); }

  static Error error_of(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error;
    }
    ADD_FAILURE() << "no error";
    return Error("");
  }

  static void expect_error(const std::function<void()>& act, int number, const std::string& words) {
    const auto error = error_of(act);
    EXPECT_EQ(error.number(), number) << error.what();
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }

  filesystem::path mount_;
};

TEST_F(SessionctlTree, TheMountByArgumentAndByEnvironment) {
  EXPECT_EQ(tree().mount(), mount_);
  EXPECT_EQ(Tree(mount_.string() + "/./").mount(), mount_);
  ::setenv("SESSIONFS_MOUNT", mount_.c_str(), 1);
  EXPECT_EQ(Tree(std::nullopt).mount(), mount_);
  ::setenv("SESSIONFS_MOUNT", "/nowhere", 1);
  EXPECT_EQ(tree().mount(), mount_) << "the argument comes first";
}

TEST_F(SessionctlTree, WhatIsNoMount) {
  const auto is_none = [](const filesystem::path& path, int number) {
    expect_error([&] { Tree tree(path.string()); }, number, path.string() + " is no mount of sessionfs");
  };
  is_none(mount_ / "nowhere", ENOENT);
  is_none(mount_ / "ctl", ENOTDIR);
  is_none(mount_ / "a@local", 0);
  write("status", "domain: local\n");
  is_none(mount_, 0);
  filesystem::remove(mount_ / "status");
  filesystem::create_directory(mount_ / "status");
  expect_error([&] { (void)tree(); }, EISDIR, "cannot be looked at");
}

TEST_F(SessionctlTree, AFileWithoutEndIsGivenUp) {
  filesystem::remove(mount_ / "status");
  filesystem::create_symlink("/dev/zero", mount_ / "status");
  expect_error([&] { (void)tree(); }, EFBIG, mount_.string());
}

TEST_F(SessionctlTree, Endpoints) {
  filesystem::create_directory(mount_ / "no-endpoint");
  EXPECT_EQ(tree().endpoints(), (std::vector<std::string>{"a@local", "desk@local"}));
  EXPECT_EQ(tree().endpoint_or_default(std::nullopt), "desk@local");
  EXPECT_EQ(tree().endpoint_or_default("a@local"), "a@local");
  EXPECT_EQ(tree().status("a@local"), "endpoint: a@local\n");
}

TEST_F(SessionctlTree, WhatDoesNotResideHere) {
  for (const auto& name : {std::string("b@local"), std::string("a@local/"), std::string("../x@y"), std::string("."),
                           std::string("ctl"), std::string(), std::string(5000, 'x') + "@local"}) {
    SCOPED_TRACE(name);
    EXPECT_FALSE(tree().status(name));
    expect_error([&] { (void)tree().endpoint_or_default(name); }, 0, name + " does not reside on this host");
  }
}

TEST_F(SessionctlTree, WithoutEndpointsItSaysWhatTheHostLacks) {
  filesystem::remove_all(mount_ / "desk@local");
  filesystem::remove_all(mount_ / "a@local");
  write("status",
        "mount: /session\ndomain: x.net\nname server: not joined; ask for a token\ndefault endpoint: d@x.net\n");
  expect_error([&] { (void)tree().endpoint_or_default(std::nullopt); }, 0, "x.net: not joined; ask for a token");
}

TEST_F(SessionctlTree, TheEndpointThatHasASession) {
  write("desk@local/sessions/s.b@local", "");
  EXPECT_EQ(tree().endpoint_with("s.b@local"), "desk@local");
  filesystem::remove(mount_ / "a@local/sessions");
  EXPECT_EQ(tree().endpoint_with("s.b@local"), "desk@local") << "one that goes meanwhile is none";
  EXPECT_FALSE(tree().endpoint_with("s.b@local~1"));
  EXPECT_FALSE(tree().endpoint_with("../ctl"));
}

TEST_F(SessionctlTree, CommandsAreOneLine) {
  tree().command("join TOKEN");
  tree().command("suspend s.b@local", "a@local");
  EXPECT_EQ(read("ctl"), "join TOKEN\n");
  EXPECT_EQ(read("a@local/ctl"), "suspend s.b@local\n");
}

TEST_F(SessionctlTree, APassphraseGoesInTheSameWrite) {
  tree().command("load /media/stick", std::nullopt, " open sesame");
  tree().command("save", "a@local", "p");
  EXPECT_EQ(read("ctl"), "passphrase  open sesame\nload /media/stick\n");
  EXPECT_EQ(read("a@local/ctl"), "passphrase p\nsave\n");
}

TEST_F(SessionctlTree, EndpointsThatComeAndLeave) {
  load(tree(), "/media/my stick/", std::nullopt);
  EXPECT_EQ(read("ctl"), "load /media/my stick/\n");
  write("ctl", "");
  load(tree(), "stick", "p");
  EXPECT_EQ(read("ctl"), "passphrase p\nload " + (filesystem::current_path() / "stick").string() + "\n");
  write("ctl", "");
  eject(tree(), "sdb1");
  EXPECT_EQ(read("ctl"), "eject sdb1\n");
  save(tree(), "a@local", std::nullopt, std::nullopt);
  EXPECT_EQ(read("a@local/ctl"), "save\n");
  write("a@local/ctl", "");
  save(tree(), "a@local", "to", "p");
  EXPECT_EQ(read("a@local/ctl"), "passphrase p\nsave " + (filesystem::current_path() / "to").string() + "\n");
}

TEST_F(SessionctlTree, ALoadThatFailsSaysWhatStatusSaysAndNeverThePassphrase) {
  make_full("ctl");
  write("status", "mount: /session\nlast error: load: /media/stick: there is no endpoint in it\n");
  expect_error([&] { load(tree(), "/media/stick", "secret"); }, ENOSPC,
               "load: /media/stick: there is no endpoint in it");
  write("status", "mount: /session\n");
  const auto error = error_of([&] { load(tree(), "/media/stick", "secret"); });
  EXPECT_STREQ(error.what(), "load: No space left on device");
}

TEST(SessionctlPaths, WhatNoLineCanHold) {
  EXPECT_EQ(fault_of_path("/a b/\xc3\xa4"), "");
  EXPECT_NE(fault_of_path(""), "");
  EXPECT_NE(fault_of_path("/a\nload /b"), "");
}

TEST(SessionctlPassphrase, FromOneByteOn) {
  EXPECT_NO_THROW(check_passphrase("x"));
  EXPECT_NO_THROW(check_passphrase(std::string(1024, 'x')));
  for (const auto& bad : {std::string(), std::string(1025, 'x'), std::string("a\nb")})
    EXPECT_THROW(check_passphrase(bad), Error) << bad.size();
}

TEST_F(SessionctlTree, ACommandThatFailsSaysWhatStatusSays) {
  make_full("a@local/ctl");
  make_full("ctl");
  write("a@local/status", "endpoint: a@local\nlast error: suspend: there is no session x in sessions/\n");
  expect_error([&] { tree().command("suspend x", "a@local"); }, ENOSPC,
               "a@local: suspend: there is no session x in sessions/");
  expect_error([&] { tree().command("resume x", "a@local"); }, ENOSPC, "a@local: resume: No space left on device");
  expect_error([&] { tree().command("join x"); }, ENOSPC, "join: No space left on device");
  filesystem::remove(mount_ / "a@local/status");
  expect_error([&] { tree().command("suspend x", "a@local"); }, ENOSPC, "a@local: suspend: No space left on device");
}

TEST_F(SessionctlTree, ACommandToWhatHasGone) {
  const auto standing = tree();
  filesystem::remove_all(mount_ / "a@local");
  expect_error([&] { standing.command("suspend", "a@local"); }, ENOENT, "a@local/ctl");
  filesystem::remove_all(mount_);
  expect_error([&] { (void)standing.endpoints(); }, ENOENT, mount_.string());
}

}  // namespace
}  // namespace sessionfs::ctl
