#include "fs/log.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <filesystem>
#include <memory>

#include "tests/fs/own_mounts.hpp"

namespace sessionfs::fs {
namespace {

TEST(Log, WhatALineIsAbout) {
  using Fields = LogFields;
  EXPECT_EQ(fields_of("laptop@local: handed over to its residence of generation 3"), (Fields{"laptop@local", "", ""}));
  EXPECT_EQ(fields_of("laptop@local: print.office@local: T1:channel_lost: ACTIVE -> READY_RESUME"),
            (Fields{"laptop@local", "print.office@local", "T1"}));
  EXPECT_EQ(fields_of("laptop@local: s~b@local~1: its bytes: 3 to 5"), (Fields{"laptop@local", "s~b@local~1", ""}));
  EXPECT_EQ(fields_of("laptop@local: /home/a@b/x: no such file"), (Fields{"laptop@local", "", ""}));
  EXPECT_EQ(fields_of("laptop@local: mail for a@b comes back: no"), (Fields{"laptop@local", "", ""}));
  for (const auto* other : {"", ": ", "laptop@local", "reading /dev/fuse: no", "T1:x: y", "a@b@c: d@e: T1:x: y"})
    EXPECT_EQ(fields_of(other), Fields{}) << other;
  for (const auto* other : {"T1", "T:x", "T1x:y", "1:x", "Tx:1"})
    EXPECT_EQ(fields_of("a@b: s.c@d: " + std::string(other) + ": z"), (Fields{"a@b", "s.c@d", ""})) << other;
}

TEST(Log, TheJournalIsKnownByItsStream) {
  const int file = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  struct stat it {};
  ASSERT_EQ(::fstat(file, &it), 0);
  const std::string name = std::to_string(it.st_dev) + ":" + std::to_string(it.st_ino);
  EXPECT_TRUE(is_journal(name.c_str(), file));
  EXPECT_FALSE(is_journal(nullptr, file));
  for (const auto& other : {std::string(), name + "0", "1" + name, std::string(":"), std::string("x:y")})
    EXPECT_FALSE(is_journal(other.c_str(), file)) << other;
  ::close(file);
  EXPECT_FALSE(is_journal(name.c_str(), file));
}

// A journal of our own where libsystemd looks for it.
class Journal : public testing::OwnMounts {
 protected:
  void SetUp() override {
    OwnMounts::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (::mount("none", "/run", "tmpfs", 0, nullptr) != 0)
      GTEST_SKIP() << "needs to mount something over /run: " << std::strerror(errno);
    std::filesystem::create_directories("/run/systemd/journal");
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
    ASSERT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    const timeval limit{.tv_sec = 60, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  void TearDown() override {
    if (socket_ >= 0) ::close(socket_);
    OwnMounts::TearDown();
  }

  // The fields of the next line, as they come.
  std::string next() const {
    std::array<char, 65536> text{};
    const ssize_t size = ::recv(socket_, text.data(), text.size(), 0);
    return size < 0 ? std::strerror(errno) : std::string(text.data(), static_cast<std::size_t>(size));
  }

  spdlog::logger log_{"journal", std::make_shared<JournalSink>()};

 private:
  int socket_ = -1;
};

TEST_F(Journal, GetsEachLineWithItsFields) {
  log_.warn("laptop@local: print.office@local: T1:channel_lost: ACTIVE -> READY_RESUME");
  EXPECT_EQ(next(),
            "MESSAGE=laptop@local: print.office@local: T1:channel_lost: ACTIVE -> READY_RESUME\n"
            "PRIORITY=4\nSYSLOG_IDENTIFIER=sessionfs\nSESSIONFS_ENDPOINT=laptop@local\n"
            "SESSIONFS_SESSION=print.office@local\nSESSIONFS_TRANSITION=T1\n");
  log_.info("reading: no");
  EXPECT_EQ(next(), "MESSAGE=reading: no\nPRIORITY=6\nSYSLOG_IDENTIFIER=sessionfs\n");
}

TEST_F(Journal, KnowsHowSeriousALineIs) {
  log_.set_level(spdlog::level::debug);
  for (const auto& [level, priority] : {std::pair(spdlog::level::critical, "2"), std::pair(spdlog::level::err, "3"),
                                        std::pair(spdlog::level::warn, "4"), std::pair(spdlog::level::info, "6"),
                                        std::pair(spdlog::level::debug, "7")}) {
    log_.log(level, "so");
    EXPECT_THAT(next(), ::testing::HasSubstr(std::string("\nPRIORITY=") + priority + "\n"));
  }
}

}  // namespace
}  // namespace sessionfs::fs
