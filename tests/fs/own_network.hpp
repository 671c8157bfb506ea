// A network namespace for each test, empty but for a loopback interface that is down. Needs root. The thread that runs
// the test is in it, so are the programs and threads that it starts.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

namespace sessionfs::fs::testing {

class OwnNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    outside_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    ASSERT_GE(outside_, 0) << std::strerror(errno);
    if (::unshare(CLONE_NEWNET) != 0) {
      ::close(std::exchange(outside_, -1));
      GTEST_SKIP() << "needs root, for a network namespace: " << std::strerror(errno);
    }
  }

  // The kernel takes the namespace down, with all that is in it, once nobody is there any more.
  void TearDown() override {
    if (outside_ < 0) return;
    EXPECT_EQ(::setns(outside_, CLONE_NEWNET), 0) << std::strerror(errno);
    ::close(outside_);
  }

  /// ip(8) with these arguments.
  static void ip(const std::string& arguments) { ASSERT_TRUE(run("ip " + arguments)) << "ip " << arguments; }

  /// Whether the shell's command succeeds.
  static bool run(const std::string& command) { return std::system(command.c_str()) == 0; }

  /// Many commands of ip(8), one a line.
  static void ip_batch(const std::string& lines) {
    std::FILE* program = ::popen("ip -batch -", "we");
    ASSERT_NE(program, nullptr) << std::strerror(errno);
    const auto written = std::fwrite(lines.data(), 1, lines.size(), program);
    ASSERT_EQ(::pclose(program), 0);
    ASSERT_EQ(written, lines.size());
  }

  static void sysctl(const std::string& file, const std::string& value) {
    std::ofstream out("/proc/sys/net/" + file);
    out << value << std::flush;
    ASSERT_TRUE(out) << file;
  }

  /// The messages that the kernel could not give to the netlink sockets of NETLINK_ROUTE in this namespace.
  static std::size_t lost_messages() {
    std::ifstream table("/proc/thread-self/net/netlink");
    std::string line;
    std::getline(table, line);  // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
    std::size_t lost = 0;
    while (std::getline(table, line)) {
      std::istringstream words(line);
      std::string word;
      std::size_t protocol = 0;
      std::size_t drops = 0;
      words >> word >> protocol >> word >> word >> word >> word >> word >> word >> drops;
      if (words && protocol == 0) lost += drops;
    }
    return lost;
  }

 private:
  int outside_ = -1;
};

}  // namespace sessionfs::fs::testing
