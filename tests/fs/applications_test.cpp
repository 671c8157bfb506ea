#include "fs/applications.hpp"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace sessionfs::fs {
namespace {

using std::filesystem::path;

TEST(Applications, TheNameOfAStateFile) {
  EXPECT_EQ(application_of(".state.file-server.1"), "file-server");
  EXPECT_EQ(application_of(".state.a_9.999999"), "a_9");
  for (const char* name : {".state.a.0", ".state.a.01", ".state.a.1000000", ".state.a.", ".state.a", ".state..1",
                           ".state.A.1", ".state.a/b.1", ".state.../x.1", ".state.a.1.2", "state.a.1", ".state.a.1 "})
    EXPECT_FALSE(application_of(name)) << name;
  EXPECT_FALSE(application_of(".state." + std::string(64, 'a') + ".1"));
}

class ApplicationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = path(testing::TempDir()) /
            ("apps-" + std::to_string(getpid()) + "-" + testing::UnitTest::GetInstance()->current_test_info()->name());
    for (const char* folder : {"apps.d", "storage"}) std::filesystem::create_directories(root_ / folder);
    before_ = spdlog::default_logger();
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(log_)));
    spdlog::set_pattern("%v");
    umask(022);
  }
  void TearDown() override {
    spdlog::set_default_logger(before_);
    std::filesystem::remove_all(root_);
  }

  path allow(const std::string& name) {
    const auto program = root_ / "apps.d" / name;
    std::ofstream(program) << "#!/bin/sh\necho \"$@\" \"$SESSIONFS_MOUNT\" > " << (root_ / "ran").string() << "\n";
    std::filesystem::permissions(program, std::filesystem::perms(0755));
    return program;
  }
  void state(const std::string& name) { std::ofstream(root_ / "storage" / name) << "a state"; }
  void start() {
    Applications applications(io_, root_ / "apps.d", "/session");
    applications.start_for(*EndpointName::parse("storage@verkstad.net"), root_ / "storage");
    io_.run();
  }
  std::string ran() {
    std::ifstream file(root_ / "ran");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] long lines() const { return std::ranges::count(log_.str(), '\n'); }

  boost::asio::io_context io_;
  path root_;
  std::ostringstream log_;
  std::shared_ptr<spdlog::logger> before_;
};

TEST_F(ApplicationsTest, OneThatIsAllowedIsStarted) {
  allow("reader");
  state(".state.reader.1");
  state("a document");
  start();
  EXPECT_EQ(ran(), "--ep storage@verkstad.net --statefile /session/storage@verkstad.net/.state.reader.1 /session\n");
}

TEST_F(ApplicationsTest, OneThatIsNotAllowedIsToldOf) {
  state(".state.reader.1");
  start();
  EXPECT_EQ(ran(), "");
  EXPECT_EQ(lines(), 1) << log_.str();
  EXPECT_NE(log_.str().find("storage@verkstad.net: .state.reader.1: the application reader is not allowed here"),
            std::string::npos)
      << log_.str();
}

TEST_F(ApplicationsTest, NothingThatOthersMayWriteIsStarted) {
  const auto program = allow("reader");
  state(".state.reader.1");
  std::filesystem::permissions(program, std::filesystem::perms(0777));
  start();
  std::filesystem::permissions(program, std::filesystem::perms(0755));
  std::filesystem::permissions(root_ / "apps.d", std::filesystem::perms(0777));
  io_.restart();
  start();
  EXPECT_EQ(ran(), "");
  EXPECT_EQ(lines(), 2) << log_.str();
}

TEST_F(ApplicationsTest, OnlyPlainFilesAreStates) {
  allow("reader");
  std::filesystem::create_symlink("/etc/passwd", root_ / "storage" / ".state.reader.1");
  std::filesystem::create_directory(root_ / "storage" / ".state.reader.2");
  start();
  EXPECT_EQ(ran(), "");
}

TEST_F(ApplicationsTest, AFolderThatIsNoneOrALinkIsNotLookedAt) {
  allow("reader");
  state(".state.reader.1");
  std::filesystem::create_directory_symlink(root_ / "storage", root_ / "link");
  Applications applications(io_, root_ / "apps.d", "/session");
  applications.start_for(*EndpointName::parse("storage@verkstad.net"), root_ / "link");
  applications.start_for(*EndpointName::parse("storage@verkstad.net"), root_ / "nowhere");
  io_.run();
  EXPECT_EQ(ran(), "");
}

TEST_F(ApplicationsTest, NotMoreThanSomeAreStarted) {
  for (std::size_t i = 1; i <= max_applications + 10; ++i) state(".state.reader." + std::to_string(i));
  start();
  EXPECT_EQ(lines(), static_cast<long>(max_applications) + 1);
}

}  // namespace
}  // namespace sessionfs::fs
