#include "fs/config.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>

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

TEST_F(ConfigTest, TheDefaultEndpointBelongsToTheDomain) {
  EXPECT_THROW(load("domain = \"a.net\"\nendpoint = \"x@b.net\"\n"), ConfigError);
}

TEST_F(ConfigTest, AFileThatIsNamedMustBeThere) { EXPECT_THROW(Config::load(path_), ConfigError); }

TEST(HostPort, Forms) {
  EXPECT_EQ(HostPort::parse("10.0.0.1:80", 1)->str(), "10.0.0.1:80");
  EXPECT_EQ(HostPort::parse("host", 7)->str(), "host:7");
  EXPECT_EQ(HostPort::parse("[::]:4700", 1)->str(), "[::]:4700");
  EXPECT_EQ(HostPort::parse("[::]", 3)->str(), "[::]:3");
  for (const char* bad : {"", ":80", "[::]80", "host:", "host:x", "host:70000", "host:1x"})
    EXPECT_FALSE(HostPort::parse(bad, 1)) << bad;
}

}  // namespace
}  // namespace sessionfs::fs
