#include "fs/config.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>

#include "sns/join_token.hpp"

namespace sessionfs::fs {
namespace {

class ConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("config-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name() + ".toml");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Config load(const std::string& text) {
    std::ofstream(path_) << text;
    return Config::load(path_);
  }

  void refuses(const std::string& text, int line, const std::string& key) {
    try {
      load(text);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const ConfigError& error) {
      const std::string what = error.what();
      EXPECT_NE(what.find(":" + std::to_string(line) + ": "), std::string::npos) << what;
      EXPECT_NE(what.find(key), std::string::npos) << what;
      EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    }
  }

  std::filesystem::path path_;
};

TEST_F(ConfigTest, AnEmptyFileGivesTheDefaults) {
  const Config config = load("");
  EXPECT_EQ(config.domain, "local");
  EXPECT_EQ(config.endpoint.domain(), "local");
  EXPECT_EQ(config.listen.port, default_port);
  EXPECT_FALSE(config.listen_given);
  EXPECT_EQ(config.buffer_bytes, std::size_t{1} << 20);
}

TEST_F(ConfigTest, ProgramsThatMayBeStartedAreBesideTheFile) {
  EXPECT_EQ(load("").apps_folder, path_.parent_path() / "apps.d");
  const auto relative = std::filesystem::relative(path_);
  EXPECT_EQ(Config::load(relative).apps_folder, path_.parent_path() / "apps.d");
}

TEST_F(ConfigTest, WithoutAFileTheyAreInTheDefaultFolder) {
  if (std::filesystem::exists(default_config_file())) GTEST_SKIP() << "there is a file";
  EXPECT_EQ(Config::load(std::nullopt).apps_folder, default_config_file().parent_path() / "apps.d");
}

TEST_F(ConfigTest, EveryKeyIsRead) {
  const Config config = load(
      "domain = \"Verkstad.net\"\nendpoint = \"laptop@verkstad.net\"\nlisten = \"[::1]:4800\"\nbuffer = \"64KiB\"\n"
      "durability = \"process\"\n[sns]\n\"verkstad.net\" = \"10.77.0.3:4701\"\n\"example.com\" = "
      "\"sns.example.com\"\n");
  EXPECT_EQ(config.domain, "verkstad.net");
  EXPECT_EQ(config.endpoint.str(), "laptop@verkstad.net");
  EXPECT_EQ(config.listen.str(), "[::1]:4800");
  EXPECT_TRUE(config.listen_given);
  EXPECT_EQ(config.buffer_bytes, 64U * 1024);
  EXPECT_EQ(config.sns.at("verkstad.net").str(), "10.77.0.3:4701");
  EXPECT_EQ(config.sns.at("example.com").port, default_sns_port);
}

TEST_F(ConfigTest, TheSampleOfTheManualIsRead) {
  const Config config = load(
      "domain = \"verkstad.net\"             # default: \"local\"\n"
      "endpoint = \"laptop@verkstad.net\"    # the default endpoint; default <hostname>@<domain>\n"
      "listen = \"[::]:4700\"\n"
      "buffer = \"1MiB\"                     # per direction and session\n"
      "durability = \"process\"              # \"process\": survives a killed daemon\n"
      "save_grace = \"10s\"\n"
      "[sns]                               # where a domain's SNS is, if DNS does not say\n"
      "\"verkstad.net\" = \"10.77.0.3:4701\"\n");
  EXPECT_EQ(config.domain, "verkstad.net");
  EXPECT_EQ(config.endpoint.str(), "laptop@verkstad.net");
  EXPECT_EQ(config.listen.str(), "[::]:4700");
  EXPECT_EQ(config.buffer_bytes, std::size_t{1} << 20);
  EXPECT_EQ(config.save_grace, std::chrono::seconds(10));
  EXPECT_EQ(config.sns.at("verkstad.net").str(), "10.77.0.3:4701");
}

TEST_F(ConfigTest, Times) {
  EXPECT_EQ(load("").save_grace, std::chrono::seconds(10));
  EXPECT_EQ(load("save_grace = \"0s\"\n").save_grace, std::chrono::seconds(0));
  EXPECT_EQ(load("save_grace = \"1500ms\"\n").save_grace, std::chrono::milliseconds(1500));
  EXPECT_EQ(load("save_grace = \"60min\"\n").save_grace, max_duration);
  for (const char* bad :
       {"10", "\"10\"", "\"10 s\"", "\"-1s\"", "\"61min\"", "\"s\"", "\"99999999999999999999s\"", "\"10h\"", "\"\""})
    refuses(std::string("\nsave_grace = ") + bad + "\n", 2, "save_grace");
}

TEST_F(ConfigTest, SilenceLimits) {
  EXPECT_EQ(load("").silence_limits.unacked, unacked_silence_limit);
  EXPECT_EQ(load("").silence_limits.idle, idle_silence_limit);
  EXPECT_EQ(load("silence_limit = \"500ms\"\n").silence_limits.unacked, least_silence_limit);
  EXPECT_EQ(load("idle_silence_limit = \"1min\"\nsilence_limit = \"1min\"\n").silence_limits.idle,
            std::chrono::minutes(1));
  refuses("silence_limit = \"499ms\"\n", 1, "silence_limit");
  refuses("\nidle_silence_limit = \"9s\"\n", 2, "idle_silence_limit");
  refuses("\nsilence_limit = \"16s\"\n", 2, "silence_limit is longer than idle_silence_limit");
  refuses("idle_silence_limit = \"20s\"\n\nsilence_limit = \"21s\"\n", 3, "silence_limit");
}

TEST_F(ConfigTest, BadKeysAndValuesAreNamedWithTheirLine) {
  refuses("\nbufer = \"1MiB\"\n", 2, "bufer");
  refuses("buffer = \"1 MiB\"\n", 1, "buffer");
  refuses("buffer = 4096\n", 1, "buffer");
  refuses("buffer = \"1GiB\"\n", 1, "buffer");
  refuses("domain = \"a b\"\n", 1, "domain");
  refuses("domain = \"x.net\"\nendpoint = \"laptop\"\n", 2, "endpoint");
  refuses("listen = \"4700\"\nx = 1\n", 2, "x");
  refuses("listen = \"[::1\"\n", 1, "listen");
  refuses("listen = \"::1:99999\"\n", 1, "listen");
  refuses("durability = \"maybe\"\n", 1, "durability");
  refuses("[sns]\n\"a b\" = \"10.0.0.1\"\n", 2, "a b");
  refuses("domain = \n", 1, "");
}

// A key in quotes may be any text: the errors that name it stay one line, without bytes that a terminal obeys.
TEST_F(ConfigTest, AnErrorIsOneLineWhateverItNames) {
  refuses("\"a\\n\" = 1\n", 1, "a? is no key");
  refuses("\"a\\u001b[2J\" = 1\n", 1, "a?[2J is no key");
  refuses("\n[sns]\n\"b\\u007f\\n\" = \"10.0.0.1\"\n", 3, "b?? in [sns] is no domain");
}

TEST_F(ConfigTest, TheDefaultEndpointBelongsToTheDomain) {
  refuses("domain = \"a.net\"\nendpoint = \"x@b.net\"\n", 2, "endpoint");
  refuses("endpoint = \"x@b.net\"\n", 1, "endpoint");
}

TEST_F(ConfigTest, AFileThatIsNamedMustBeThere) { EXPECT_THROW(Config::load(path_), ConfigError); }

TEST(HostPort, Forms) {
  EXPECT_EQ(HostPort::parse("10.0.0.1:80", 1)->str(), "10.0.0.1:80");
  EXPECT_EQ(HostPort::parse("host", 7)->str(), "host:7");
  EXPECT_EQ(HostPort::parse("[::]:4700", 1)->str(), "[::]:4700");
  EXPECT_EQ(HostPort::parse("[::]", 3)->str(), "[::]:3");
  EXPECT_EQ(HostPort::parse("::1", 5)->str(), "[::1]:5");
  EXPECT_EQ(HostPort::parse("[fe80::1%eth0]:4701", 1)->str(), "[fe80::1%eth0]:4701");
  EXPECT_EQ(HostPort::parse("fe80::1%eth0", 9)->str(), "[fe80::1%eth0]:9");
  for (const char* bad : {"", ":80", "[::]80", "host:", "host:x", "host:70000", "host:1x", "[host]:1", "1:2:3", "[]:1",
                          "[[]", "[[]:1", "a]", "[::1]]:1"})
    EXPECT_FALSE(HostPort::parse(bad, 1)) << bad;
}

// The C functions for addresses end at a NUL, whatever follows it.
TEST(HostPort, AnAddressHasNoNul) {
  using namespace std::string_view_literals;
  for (const std::string_view bad :
       {"::\0"sv, "::\0]"sv, "::1\0 \n"sv, "[::1\0]:5"sv, "[fe80::1\0%eth0]:5"sv, "h\0:5"sv})
    EXPECT_FALSE(HostPort::parse(bad, 1)) << testing::PrintToString(bad);
}

// A name server is written in the configuration, in a token and on a command line: in the same way.
TEST(HostPort, IsWhatANameServersAddressIs) {
  for (const char* text : {"10.0.0.1:80",
                           "host",
                           "[::]:4700",
                           "[::]",
                           "::1",
                           "fe80::1%eth0",
                           "[fe80::1%eth0.7]:1",
                           "",
                           ":1",
                           "h:",
                           "[::1",
                           "::1:99999",
                           "[::1%]:5",
                           "[::1%a b]:5",
                           "[::1%0123456789abcdef]",
                           "h%eth0",
                           "[h]:5",
                           "h:00080",
                           "h:000080",
                           "[::1]:",
                           "h:+1",
                           "a@b"}) {
    const auto here = HostPort::parse(text, 7);
    const auto there = sns::parse_server(text, 7);
    ASSERT_EQ(here.has_value(), there.has_value()) << text;
    if (here) EXPECT_TRUE(here->host == there->host && here->port == there->port) << text;
  }
  EXPECT_TRUE(sns::parse_server("[fe80::1%eth0.7]:1"));
  for (const char* bad : {"[::1%]:5", "[::1%a b]:5", "[::1%0123456789abcdef]", "h%eth0", "::1:99999", "h:000080"})
    EXPECT_FALSE(sns::parse_server(bad)) << bad;
  EXPECT_TRUE(sns::parse_server(std::string(sns::max_host_bytes, 'h')));
  EXPECT_FALSE(sns::parse_server(std::string(sns::max_host_bytes + 1, 'h')));
}

}  // namespace
}  // namespace sessionfs::fs
