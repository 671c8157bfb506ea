#include "fs/applications.hpp"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

namespace sessionfs::fs {
namespace {

using std::filesystem::path;
using std::filesystem::perms;

constexpr auto programs_limit = std::chrono::seconds(20);
const EndpointName loaded_name = *EndpointName::parse("storage@verkstad.net");

// Writes down what it was started with, in a file beside the mount: one line for each start.
constexpr const char* noting_program =
    "#!/bin/sh\n"
    "out=${SESSIONFS_MOUNT%/mount}/noted\n"
    "session=$(cut -d' ' -f6 /proc/$$/stat)\n"
    "[ \"$session\" = $$ ] && leads=leader || leads=member\n"
    "echo \"$(basename \"$0\") $* mount=$SESSIONFS_MOUNT $leads"
    " $(readlink /proc/$$/fd/0) $(readlink /proc/$$/fd/2)\" >> \"$out\"\n";

class ApplicationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(storage());
    std::filesystem::create_directories(apps());
    std::filesystem::permissions(apps(), perms::owner_all);
    before_ = spdlog::default_logger();
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(log_)));
    spdlog::set_pattern("%v");
  }
  void TearDown() override {
    spdlog::set_default_logger(before_);
    std::filesystem::remove_all(root_);
  }

  [[nodiscard]] path storage() const { return root_ / "storage@verkstad.net"; }
  [[nodiscard]] path apps() const { return root_ / "apps.d"; }
  [[nodiscard]] path mount() const { return root_ / "mount"; }

  void save_state(const std::string& name) const { std::ofstream(storage() / name) << "state"; }
  path allow(const std::string& name, const std::string& text = noting_program) const {
    std::ofstream(apps() / name) << text;
    std::filesystem::permissions(apps() / name, perms::owner_all);
    return apps() / name;
  }

  // Until all that was started has ended.
  void load() {
    applications_.start_for(loaded_name, storage());
    io_.restart();
    io_.run_for(programs_limit);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "one was not reaped";
  }
  // What the programs have written down, sorted.
  [[nodiscard]] std::vector<std::string> noted() const {
    std::vector<std::string> lines;
    std::ifstream in(root_ / "noted");
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    std::ranges::sort(lines);
    return lines;
  }
  [[nodiscard]] std::string line_of(const std::string& app, int number) const {
    return app + " --ep storage@verkstad.net --statefile " + mount().string() + "/storage@verkstad.net/.state." + app +
           "." + std::to_string(number) + " mount=" + mount().string() + " leader /dev/null /dev/null";
  }
  void expect_refused(const std::string& words) {
    load();
    EXPECT_TRUE(noted().empty());
    const std::string text = log_.str();
    EXPECT_NE(text.find(words), std::string::npos) << text;
    EXPECT_TRUE(text.starts_with("storage@verkstad.net: .state.foo.1: ")) << text;
    EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
  }

  path root_ = path(::testing::TempDir()) / ("applications-" + std::to_string(getpid()) + "-" +
                                             ::testing::UnitTest::GetInstance()->current_test_info()->name());
  std::ostringstream log_;
  std::shared_ptr<spdlog::logger> before_;
  boost::asio::io_context io_;
  Applications applications_{io_, apps(), mount()};
};

TEST(ApplicationStates, TheirNames) {
  EXPECT_EQ(ApplicationState::parse(".state.foo.1"), (ApplicationState{"foo", 1}));
  EXPECT_EQ(ApplicationState::parse(".state.a-b_9.999999"), (ApplicationState{"a-b_9", 999'999}));
  EXPECT_EQ(ApplicationState::parse(".state.foo.12")->str(), ".state.foo.12");
  EXPECT_TRUE(ApplicationState::parse(".state." + std::string(63, 'x') + ".1"));
}

TEST(ApplicationStates, WhatIsNone) {
  for (const auto* name : {"",
                           ".state",
                           ".state.",
                           ".state.foo",
                           ".state.foo.",
                           ".state..1",
                           ".state.foo.0",
                           ".state.foo.01",
                           ".state.foo.1000000",
                           ".state.foo.-1",
                           ".state.foo.+1",
                           ".state.foo. 1",
                           ".state.foo.1 ",
                           ".state.foo.1.2",
                           ".state.Foo.1",
                           ".state.f/o.1",
                           ".state.../x.1",
                           ".state.\xc3\xa4.1",
                           "state.foo.1",
                           ".state.foo.99999999999"})
    EXPECT_FALSE(ApplicationState::parse(name)) << name;
  EXPECT_FALSE(ApplicationState::parse(".state." + std::string(64, 'x') + ".1"));
}

TEST_F(ApplicationsTest, EachStateStartsItsProgram) {
  allow("foo");
  allow("bar");
  for (const auto* name : {".state.foo.1", ".state.foo.12", ".state.bar.7"}) save_state(name);
  load();
  EXPECT_EQ(noted(), (std::vector<std::string>{line_of("bar", 7), line_of("foo", 1), line_of("foo", 12)}));
}

TEST_F(ApplicationsTest, TheirMountIsOursWhateverWeWereStartedWith) {
  ::setenv("SESSIONFS_MOUNT", "/elsewhere", 1);
  allow("foo");
  save_state(".state.foo.1");
  load();
  ::unsetenv("SESSIONFS_MOUNT");
  EXPECT_EQ(noted(), std::vector<std::string>{line_of("foo", 1)});
}

TEST_F(ApplicationsTest, NothingButPlainStateFilesCounts) {
  allow("foo");
  std::filesystem::create_symlink("/etc/passwd", storage() / ".state.foo.1");
  std::filesystem::create_directory(storage() / ".state.foo.2");
  ASSERT_EQ(::mkfifo((storage() / ".state.foo.3").c_str(), 0600), 0);
  std::filesystem::create_directory(storage() / "sub");
  save_state("sub/.state.foo.4");
  save_state(".state.foo.05");
  load();
  EXPECT_TRUE(noted().empty());
  EXPECT_EQ(log_.str(), "");
}

TEST_F(ApplicationsTest, AStorageThatIsALinkIsNotFollowed) {
  allow("foo");
  save_state(".state.foo.1");
  std::filesystem::rename(storage(), root_ / "real");
  std::filesystem::create_directory_symlink(root_ / "real", storage());
  load();
  EXPECT_TRUE(noted().empty());
  EXPECT_NE(log_.str().find("not all states"), std::string::npos) << log_.str();
}

TEST_F(ApplicationsTest, OneThatIsNotAllowedIsTold) {
  save_state(".state.foo.1");
  expect_refused("the program foo is not allowed here; put it into " + apps().string() + " to allow it");
}

TEST_F(ApplicationsTest, WithoutAFolderNothingIsAllowed) {
  std::filesystem::remove(apps());
  save_state(".state.foo.1");
  expect_refused("the program foo is not allowed here; put it into " + apps().string() + " to allow it");
}

TEST_F(ApplicationsTest, OneThatOthersCanWriteIsNotRun) {
  std::filesystem::permissions(allow("foo"), perms::owner_all | perms::group_write);
  save_state(".state.foo.1");
  expect_refused("can be written by others");
}

TEST_F(ApplicationsTest, OneInAFolderThatOthersCanWriteIsNotRun) {
  allow("foo");
  std::filesystem::permissions(apps(), perms::owner_all | perms::others_write);
  save_state(".state.foo.1");
  expect_refused("can be written by others");
}

TEST_F(ApplicationsTest, OneOfAnotherUserIsNotRun) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  constexpr uid_t nobody = 65534;
  ASSERT_EQ(::chown(allow("foo").c_str(), nobody, nobody), 0);
  save_state(".state.foo.1");
  expect_refused("belongs to another user");
}

TEST_F(ApplicationsTest, OneThatIsNotExecutableIsNotRun) {
  std::filesystem::permissions(allow("foo"), perms::owner_read | perms::owner_write);
  save_state(".state.foo.1");
  expect_refused("is not executable");
}

TEST_F(ApplicationsTest, AFolderIsNoProgram) {
  std::filesystem::create_directory(apps() / "foo");
  save_state(".state.foo.1");
  expect_refused("no program");
}

TEST_F(ApplicationsTest, ALinkIsAsGoodAsWhereItLeads) {
  std::filesystem::rename(allow("real"), root_ / "real");
  std::filesystem::create_symlink("../real", apps() / "foo");
  save_state(".state.foo.1");
  load();
  EXPECT_EQ(noted(), std::vector<std::string>{line_of("foo", 1)});
}

TEST_F(ApplicationsTest, ALinkToNothingIsNotRun) {
  std::filesystem::create_symlink("nothing", apps() / "foo");
  save_state(".state.foo.1");
  expect_refused("links to nothing");
}

TEST_F(ApplicationsTest, ALinkIntoTheMountIsNotEvenLookedAt) {
  std::filesystem::create_symlink(mount() / "a@local" / "program", root_ / "between");
  std::filesystem::create_symlink("../between", apps() / "foo");
  save_state(".state.foo.1");
  expect_refused("it lies in the mount of sessionfs itself");
}

TEST_F(ApplicationsTest, OneThatCannotBeStartedIsTold) {
  allow("foo", "#!/nowhere/to/be/found\n");
  save_state(".state.foo.1");
  load();
  EXPECT_NE(log_.str().find("it cannot be started: No such file or directory"), std::string::npos);
}

TEST_F(ApplicationsTest, AnEndInFailureIsTold) {
  allow("foo", "#!/bin/sh\nexit 7\n");
  allow("bar", "#!/bin/sh\nkill -9 $$\n");
  save_state(".state.foo.1");
  save_state(".state.bar.1");
  load();
  EXPECT_NE(log_.str().find("storage@verkstad.net: .state.foo.1: its program has ended with status 7"),
            std::string::npos);
  EXPECT_NE(log_.str().find("storage@verkstad.net: .state.bar.1: its program has ended with status 137"),
            std::string::npos);
}

TEST_F(ApplicationsTest, NotMoreThanSoManyForOneLoad) {
  allow("foo", "#!/bin/sh\nexit 0\n");
  for (int number = 1; number <= 70; ++number) save_state(".state.foo." + std::to_string(number));
  load();
  const std::string text = log_.str();
  EXPECT_NE(text.find("6 states of applications from .state.foo.65 on start nothing"), std::string::npos) << text;
  EXPECT_EQ(std::ranges::count(text, '\n'), 65) << "one line each, and one for the others";
}

TEST_F(ApplicationsTest, AProgramOutlivesUs) {
  allow("foo", "#!/bin/sh\ncd \"${SESSIONFS_MOUNT%/mount}\" && echo $$ > new && mv new noted && exec sleep 1000\n");
  save_state(".state.foo.1");
  {
    boost::asio::io_context io;
    Applications gone(io, apps(), mount());
    gone.start_for(loaded_name, storage());
    const auto end = std::chrono::steady_clock::now() + programs_limit;
    while (noted().empty() && std::chrono::steady_clock::now() < end) io.run_for(std::chrono::milliseconds(20));
  }
  ASSERT_EQ(noted().size(), 1U);
  const auto process = static_cast<pid_t>(std::stol(noted().front()));
  EXPECT_EQ(::waitpid(process, nullptr, WNOHANG), 0) << "it runs";
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
}

}  // namespace
}  // namespace sessionfs::fs
