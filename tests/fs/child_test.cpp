#include "fs/child.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>

namespace sessionfs::fs {
namespace {

struct Outcome {
  int status = -1;
  std::string said;
  int calls = 0;
};

Outcome run(std::vector<std::string> command, std::chrono::milliseconds limit = std::chrono::minutes(1)) {
  boost::asio::io_context io;
  Outcome outcome;
  run_child(io, std::move(command), limit, [&](int status, const std::string& said) {
    outcome = {status, said, outcome.calls + 1};
  });
  EXPECT_EQ(outcome.calls, 0) << "it is told later";
  io.run();
  EXPECT_EQ(outcome.calls, 1);
  return outcome;
}

TEST(Child, TellsItsExitStatus) {
  EXPECT_EQ(run({"true"}).status, 0);
  EXPECT_EQ(run({"sh", "-c", "exit 7"}).status, 7);
}

TEST(Child, TellsTheFirstLineThatItHasSaid) {
  const auto outcome = run({"sh", "-c", "echo not this; echo this >&2; echo nor this >&2; exit 1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.said, "this");
}

TEST(Child, MaySayMoreThanIsKept) {
  const auto outcome = run({"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.said, std::string(max_child_words, 'x'));
}

TEST(Child, ArgumentsAreNoShellWords) {
  EXPECT_EQ(run({"sh", "-c", "echo \"$1\" >&2", "-", "$(id); *"}).said, "$(id); *");
}

TEST(Child, TheKernelTellsWhatItHasWritten) {
  boost::asio::io_context io;
  const pid_t child = run_child(io, {"sh", "-c", "echo four > /dev/null; kill -STOP $$"}, std::chrono::minutes(1),
                                [](int, const std::string&) {});
  ASSERT_GT(child, 0);
  int how = 0;
  ASSERT_EQ(::waitpid(child, &how, WUNTRACED), child);
  EXPECT_EQ(bytes_written_by(child), 5U);
  ::kill(child, SIGKILL);
  io.run();
  EXPECT_FALSE(bytes_written_by(child));
}

TEST(Child, OneThatIsNotThere) {
  const auto outcome = run({"/nowhere/to/be/found"});
  EXPECT_EQ(outcome.status, child_not_started);
  EXPECT_EQ(outcome.said, "it cannot be started: No such file or directory");
}

TEST(Child, OneThatTakesTooLongIsKilled) {
  EXPECT_EQ(run({"sleep", "1000"}, std::chrono::milliseconds(50)).status, 128 + SIGKILL);
}

}  // namespace
}  // namespace sessionfs::fs
