// A mount namespace for each test, and an empty folder in it. Needs root. The thread that runs the test is in it, so
// are the programs that it starts; what they mount goes with it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

namespace sessionfs::fs::testing {

class OwnMounts : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "sessionfs-mounts-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr) << std::strerror(errno);
    folder_ = name;
    outside_ = ::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    ASSERT_GE(outside_, 0) << std::strerror(errno);
    if (::unshare(CLONE_FS | CLONE_NEWNS) != 0) {
      ::close(std::exchange(outside_, -1));
      GTEST_SKIP() << "needs root, for a mount namespace: " << std::strerror(errno);
    }
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << std::strerror(errno);
  }

  void TearDown() override {
    if (outside_ >= 0) {
      EXPECT_EQ(::setns(outside_, CLONE_NEWNS), 0) << std::strerror(errno);
      ::close(outside_);
    }
    ::rmdir(folder_.c_str());
  }

  [[nodiscard]] const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  int outside_ = -1;
};

}  // namespace sessionfs::fs::testing
