#include "fs/walkers.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

namespace sessionfs::fs {
namespace {

constexpr std::uint64_t endpoint = 7;
constexpr std::uint64_t other = 8;

// A process that waits until it is ended.
class Tool {
 public:
  Tool() : pid_(::fork()) {
    if (pid_ == 0) {
      for (;;) ::pause();
    }
  }
  ~Tool() { end(); }
  Tool(const Tool&) = delete;
  Tool& operator=(const Tool&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_;
};

class WalkersTest : public ::testing::Test {
 protected:
  std::function<void(std::uint64_t)> note(const std::string& word) {
    return [this, word](std::uint64_t which) { seen_.push_back(word + " " + std::to_string(which)); };
  }
  void wait_for(std::size_t count) {
    while (seen_.size() < count) io_.run_one();
  }

  boost::asio::io_context io_;
  std::vector<std::string> seen_;
  bool stays_ = false;
  bool may_move_ = true;
  Walkers walkers_{io_,
                   {.may_move = [this](std::uint64_t) { return !stays_; },
                    .hold = note("hold"),
                    .release = note("release"),
                    .begin_move =
                        [this](std::uint64_t which) {
                          if (may_move_) note("begin")(which);
                          return may_move_;
                        },
                    .cancel_move = note("cancel")}};
};

using Seen = std::vector<std::string>;

TEST_F(WalkersTest, ACopyHoldsItsEndpointUntilItsToolHasEnded) {
  Tool tool;
  walkers_.reads_record(tool.pid(), endpoint);
  walkers_.reads_record(tool.pid(), endpoint);
  EXPECT_EQ(seen_, (Seen{"hold 7"}));
  tool.end();
  wait_for(2);
  EXPECT_EQ(seen_, (Seen{"hold 7", "release 7"}));
  EXPECT_FALSE(walkers_.knows(tool.pid()));
}

TEST_F(WalkersTest, WhatStaysIsNotHeldAndNothingOfItIsRemovedByWhoHasCopiedIt) {
  Tool tool;
  Tool another;
  stays_ = true;
  walkers_.reads_record(tool.pid(), endpoint);
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::refused);
  EXPECT_EQ(walkers_.removes(another.pid(), endpoint), Walkers::Removal::ordinary);
  tool.end();
  while (walkers_.knows(tool.pid())) io_.run_one();
  EXPECT_EQ(seen_, Seen{});
}

TEST_F(WalkersTest, WhoRemovesWhatHeHasCopiedMovesIt) {
  Tool tool;
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::ordinary);
  walkers_.reads_record(tool.pid(), endpoint);
  EXPECT_EQ(walkers_.removes(tool.pid(), other), Walkers::Removal::ordinary);
  EXPECT_FALSE(walkers_.moving(endpoint));
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::moves);
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::moves);
  EXPECT_TRUE(walkers_.moving(endpoint));
  EXPECT_EQ(seen_, (Seen{"hold 7", "begin 7"}));
  walkers_.forget(endpoint);
  EXPECT_FALSE(walkers_.moving(endpoint));
}

TEST_F(WalkersTest, AMoveThatDoesNotEndIsCancelled) {
  Tool tool;
  walkers_.reads_record(tool.pid(), endpoint);
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::moves);
  tool.end();
  wait_for(3);
  EXPECT_EQ(seen_, (Seen{"hold 7", "begin 7", "cancel 7"}));
}

TEST_F(WalkersTest, OfTwoMoversOneIsTooLate) {
  Tool one;
  Tool two;
  walkers_.reads_record(one.pid(), endpoint);
  walkers_.reads_record(two.pid(), endpoint);
  EXPECT_EQ(walkers_.removes(one.pid(), endpoint), Walkers::Removal::moves);
  EXPECT_EQ(walkers_.removes(two.pid(), endpoint), Walkers::Removal::refused);
  two.end();
  while (walkers_.knows(two.pid())) io_.run_one();
  EXPECT_TRUE(walkers_.moving(endpoint));
  one.end();
  wait_for(4);
  EXPECT_EQ(seen_, (Seen{"hold 7", "hold 7", "begin 7", "cancel 7"}));
}

TEST_F(WalkersTest, WhatIsOnItsWayAlreadyIsNotMoved) {
  Tool tool;
  walkers_.reads_record(tool.pid(), endpoint);
  may_move_ = false;
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::refused);
  EXPECT_FALSE(walkers_.moving(endpoint));
  tool.end();
  while (walkers_.knows(tool.pid())) io_.run_one();
  EXPECT_EQ(seen_, (Seen{"hold 7", "release 7"}));
}

TEST_F(WalkersTest, WhatChangesAfterTheCopyIsNotMoved) {
  Tool tool;
  walkers_.reads_record(tool.pid(), endpoint);
  walkers_.changes(other);
  EXPECT_EQ(seen_, (Seen{"hold 7"}));
  walkers_.changes(endpoint);
  EXPECT_EQ(seen_, (Seen{"hold 7", "release 7"}));
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::refused);
}

TEST_F(WalkersTest, AToolThatWaitsHoldsNothing) {
  Tool tool;
  walkers_.reads_record(tool.pid(), endpoint);
  wait_for(2);
  EXPECT_EQ(seen_, (Seen{"hold 7", "release 7"}));
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::refused);
}

TEST_F(WalkersTest, ItIsHeldAsLongAsOneOfTwoCopies) {
  Tool one;
  Tool two;
  walkers_.reads_record(one.pid(), endpoint);
  walkers_.reads_record(two.pid(), endpoint);
  one.end();
  while (walkers_.knows(one.pid()) && io_.run_one() > 0 && seen_.size() < 3) {
  }
  two.end();
  wait_for(3);
  EXPECT_EQ(seen_, (Seen{"hold 7", "hold 7", "release 7"}));
}

TEST_F(WalkersTest, OneThatCopiesAnotherEndpointNextLetsGoOfTheFirst) {
  Tool tool;
  walkers_.reads_record(tool.pid(), endpoint);
  walkers_.reads_record(tool.pid(), other);
  EXPECT_EQ(seen_, (Seen{"hold 7", "release 7", "hold 8"}));
  EXPECT_EQ(walkers_.removes(tool.pid(), endpoint), Walkers::Removal::ordinary);
}

TEST_F(WalkersTest, AProcessThatIsNotThereIsNone) {
  Tool tool;
  const pid_t pid = tool.pid();
  tool.end();
  walkers_.reads_record(pid, endpoint);
  EXPECT_FALSE(walkers_.knows(pid));
  EXPECT_EQ(seen_, Seen{});
}

}  // namespace
}  // namespace sessionfs::fs
