#include "fs/sessionctl/inspect.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "fs/sealed.hpp"
#include "fs/sessionctl/tree.hpp"
#include "sns/identity.hpp"

namespace sessionfs::ctl {
namespace {

namespace filesystem = std::filesystem;

// RFC 8032, section 7.1, test 1, as PKCS #8 (RFC 8410); its public key is d75a9801...07511a.
constexpr const char* known_key =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
constexpr const char* known_sum = "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9";

EndpointName endpoint_name(const char* text) { return *EndpointName::parse(text); }

SessionRecord a_session() {
  SessionRecord session;
  session.image.local = endpoint_name("storage@verkstad.net");
  session.image.peer = endpoint_name("client@verkstad.net");
  session.image.service = "file";
  session.image.file_name = "file~client@verkstad.net~1";
  session.image.accepted = true;
  session.image.sent = {.acked = 1000, .written = 2536, .start = 0};
  session.image.received = {.read = 7, .held = 12, .start = 0};
  session.sent.resize(1536);
  session.received.resize(5);
  return session;
}

EndpointRecord a_record() {
  EndpointRecord record;
  record.name = endpoint_name("storage@verkstad.net");
  record.generation = 4;
  record.private_key = known_key;
  return record;
}

class SessionctlInspect : public ::testing::Test {
 protected:
  void SetUp() override { filesystem::create_directories(folder_); }
  void TearDown() override { filesystem::remove_all(folder_); }

  filesystem::path put(const std::string& content, const std::string& file = ".endpoint") const {
    std::ofstream(folder_ / file, std::ios::binary) << content;
    return folder_ / file;
  }
  static std::string encoded(const EndpointRecord& record) {
    const auto bytes = encode(record);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  static void refuses(const filesystem::path& path, const std::string& words,
                      const std::function<std::string()>& passphrase = nullptr) {
    try {
      ADD_FAILURE() << inspect(path, passphrase);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }

  filesystem::path folder_ =
      filesystem::path(testing::TempDir()) /
      ("inspect-" + std::to_string(getpid()) + "-" + testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST(SessionctlRecords, OneWithoutAnything) {
  EXPECT_EQ(record_text(a_record()), std::string("endpoint: storage@verkstad.net\n"
                                                 "  generation: 4\n"
                                                 "  key: SHA256:") +
                                         known_sum +
                                         "\n"
                                         "  services: none\n"
                                         "  policy: none, any interface may be used\n"
                                         "  access: none, every peer that proves its name may connect\n"
                                         "  ended sessions that are remembered: 0\n"
                                         "  no sessions\n");
}

TEST(SessionctlRecords, AllThatIsInIt) {
  auto record = a_record();
  record.services = {"file", "print"};
  record.policy = "prefer eth*\n\nstay\n";
  record.access = "allow file *@verkstad.net";
  record.tombstones.resize(3);
  record.sessions = {a_session(), a_session()};
  auto& second = record.sessions[1];
  second.image.file_name = "print.office@example.com";
  second.image.suspended = true;
  second.image.accepted = false;
  second.image.peer_end = 12;
  const std::string text = record_text(record);
  EXPECT_NE(text.find("  services: file, print\n  policy: prefer eth*\n  policy: stay\n"
                      "  access: allow file *@verkstad.net\n  ended sessions that are remembered: 3\n"),
            std::string::npos)
      << text;
  const std::string longest = "suspended, not accepted yet, finished by the peer";
  const auto row = [&](const std::string& begin, const std::string& state, const std::string& end) {
    return "  " + begin + "  " + state + std::string(longest.size() - state.size(), ' ') + "  " + end + "\n";
  };
  const std::string offsets = "2536  1000   12        7     1.5 KiB  5 B";
  const std::string table = row("SESSION                     PEER                 SERVICE", "STATE",
                                "SENT  ACKED  RECEIVED  READ  HELD     WAITING") +
                            row("file~client@verkstad.net~1  client@verkstad.net  file   ", "open", offsets) +
                            row("print.office@example.com    client@verkstad.net  file   ", longest, offsets);
  EXPECT_TRUE(text.ends_with("\n" + table)) << text;
}

TEST(SessionctlRecords, StatesInWords) {
  const auto has = [](const std::function<void(SessionImage&)>& change, const std::string& words) {
    auto record = a_record();
    record.sessions = {a_session()};
    change(record.sessions[0].image);
    const std::string text = record_text(record);
    EXPECT_NE(text.find("  " + words + "  "), std::string::npos) << text;
  };
  has([](SessionImage& image) { image.connecting = true; }, "connecting");
  has([](SessionImage& image) { image.end = 2536; }, "open, finished here");
  has([](SessionImage& image) { image.end = 2536, image.detached = true; }, "open, closed here");
  has([](SessionImage& image) { image.peer_end = 12, image.peer_closed = true; }, "open, closed by the peer");
  has([](SessionImage& image) { image.closed = true, image.failure = Failure::lost; }, "closed, lost");
}

TEST(SessionctlRecords, NothingThatATerminalWouldObey) {
  auto record = a_record();
  record.policy = "\x1b[2J\rprefer x";
  record.access = "\xc2\x9b";
  record.services = {"\n  key: mine"};
  record.sessions = {a_session()};
  record.sessions[0].image.file_name = "\x1b]0;x\x07\nno line";
  const std::string text = record_text(record);
  for (const char c : text) EXPECT_TRUE(c == '\n' || (static_cast<unsigned char>(c) >= ' ' && c != '\x7f')) << text;
  EXPECT_EQ(text.find("\n  key: mine"), std::string::npos) << text;
  EXPECT_EQ(text.find("\nno line"), std::string::npos) << text;
}

TEST(SessionctlRecords, TheFingerprintIsThatOfThePublicKey) {
  const auto key = sns::KeyPair::generate();
  EXPECT_EQ(key_fingerprint(key.pem()).size(), std::string("SHA256:").size() + 64);
  EXPECT_EQ(key_fingerprint(key.pem()), key_fingerprint(sns::KeyPair::from_pem(key.pem()).pem()));
  for (const auto* bad : {"", "a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"})
    EXPECT_EQ(key_fingerprint(bad), "none that can be read");
}

TEST(SessionctlRecords, AKeyIsNeverShown) { EXPECT_EQ(record_text(a_record()).find("MC4CAQ"), std::string::npos); }

TEST_F(SessionctlInspect, AFileOrItsFolder) {
  const auto file = put(encoded(a_record()));
  for (const auto& path : {file, folder_}) {
    const std::string text = inspect(path, nullptr);
    EXPECT_TRUE(text.starts_with(file.string() + ": a record of ")) << text;
    EXPECT_NE(text.find(", not sealed\nendpoint: storage@verkstad.net\n"), std::string::npos) << text;
  }
  const auto never = []() -> std::string { throw Error("nothing is to be asked"); };
  EXPECT_NO_THROW(inspect(file, never));
}

TEST_F(SessionctlInspect, ASealedOne) {
  const auto file = put(fs::SealKey::from_passphrase("open sesame").seal(encoded(a_record())));
  const std::string text = inspect(folder_, nullptr);
  EXPECT_TRUE(text.starts_with(file.string() + ": a sealed record of ")) << text;
  EXPECT_NE(text.find("--passphrase"), std::string::npos) << text;
  EXPECT_EQ(text.find("storage@verkstad.net\n"), std::string::npos) << text;
  EXPECT_NE(inspect(folder_, [] { return "open sesame"; }).find("\nendpoint: storage@verkstad.net\n"),
            std::string::npos);
  refuses(folder_, "does not open with this passphrase", [] { return "open barley"; });
}

TEST_F(SessionctlInspect, WhatIsNone) {
  refuses(folder_ / "nothing", "No such file");
  refuses(folder_, folder_.string() + ": holds no record");
  refuses(put("not a record\n"), "is no record of an endpoint");
  refuses(put(""), "is no record of an endpoint");
  refuses(put(encoded(a_record()).substr(0, 40)), "is damaged");
  refuses("/dev/zero", "is no plain file");
}

TEST_F(SessionctlInspect, OnlyPlainFilesAreRead) {
  ASSERT_EQ(::mkfifo((folder_ / ".endpoint").c_str(), 0600), 0);
  refuses(folder_, "is no plain file");
  filesystem::remove(folder_ / ".endpoint");
  const auto file = put(encoded(a_record()), "record");
  filesystem::create_symlink(file, folder_ / ".endpoint");
  refuses(folder_, "symbolic link");
  EXPECT_NO_THROW(inspect(folder_ / ".endpoint", nullptr)) << "what is named itself may be a link";
}

TEST_F(SessionctlInspect, OneThatIsTooLargeIsNotRead) {
  const auto file = put("");
  filesystem::resize_file(file, std::uintmax_t{1} << 40);
  refuses(file, "too large");
}

}  // namespace
}  // namespace sessionfs::ctl
