// What is wrong in a backup's text is named, and nothing of it is kept.
#include <gmock/gmock.h>

#include "tests/sns/backup_fixture.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;

using BackupRefusedTest = BackupFixture;

TEST_F(BackupRefusedTest, ABadLineIsNamedAndNothingIsLeft) {
  const std::string start = head();
  const auto line = std::to_string(std::ranges::count(start, '\n') + 2);  // the one after alice
  const std::string key = " key=" + std::string(a_key_of_twos);
  const std::string joined = " joined=2026-11-23T17:05:00Z";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"nonsense", "'nonsense' starts with no word"},
      {"endpoint", "no valid name"},
      {"endpoint no@one@verkstad.net", "no valid name"},
      {"endpoint bob@example.com", "bob@example.com is not of the domain verkstad.net"},
      {"endpoint bob@verkstad.net" + key, "it has no 'generation='"},
      {line_of("bob", " more"), "'more' is no NAME=VALUE"},
      {line_of("bob", " more=1"), "unknown word 'more'"},
      {line_of("bob", " generation=2"), "it has 'generation' twice"},
      {line_of("bob", key), "it has 'key' twice"},
      {line_of("bob", " at=10.0.0.1"), "'10.0.0.1' is no address"},
      {line_of("bob", " at=0.0.0.0:1"), "is no address"},
      {line_of("bob", " at=224.0.0.1:1"), "is no address"},
      {line_of("bob", " at=[fe80::1%lo]:1"), "is no address"},
      {line_of("bob", " at=2001:db8::1:1"), "is no address"},
      {line_of("bob", " at=10.0.0.1:0"), "is no address"},
      {line_of("bob", " at=10.0.0.1:65536"), "is no address"},
      {line_of("bob", std::string(" at=10.0.0.1\0:1", 15)), "is no address"},
      {line_of("bob", " away=yesterday"), "'yesterday' is no time"},
      {line_of("bob", " away=2026-02-30T00:00:00Z"), "is no time"},
      {line_of("bob", " revoked=2026-11-23T17:05:00Z at=10.0.0.1:1"), "revoked has no addresses"},
      {line_of("bob", " revoked=2026-11-23T17:05:00Z") + "service file.bob@verkstad.net port=0\n", ""},
      {line_of("bob", "", "2"), "there is no member 2"},
      {line_of("bob", "", "-1"), "'-1' is no member's number"},
      {line_of("alice"), "another endpoint alice@verkstad.net"},
      {"endpoint bob@verkstad.net key=" + std::string(63, '1') + "g", "is no public key"},
      {"endpoint bob@verkstad.net key=" + std::string(66, '1'), "is no public key"},
      {"endpoint bob@verkstad.net generation=9223372036854775808", "is no generation"},
      {"endpoint bob@verkstad.net mark=00", "is no mark"},
      {"service file port=0", "no valid name of a service"},
      {"service file.bob@verkstad.net port=0", "does not belong to the endpoint above it"},
      {"service file.alice@verkstad.net", "it has no 'port='"},
      {"service file.alice@verkstad.net port=65536", "is no port"},
      {"service file.alice@verkstad.net port=1 colour=red", "unknown word 'colour'"},
      {"member 2" + key + joined, "members stand before the first endpoint"},
      {"domain verkstad.net", "second domain"},
      {"authority key", "twice"},
      {"authority certificate", "twice"},
      {"end\nmore", ""},
      {std::string(max_backup_line_bytes + 1, 'x'), "longer than 4096 bytes"},
      {std::string(3 * backup_piece_bytes, 'x'), "longer than 4096 bytes"},
      {std::string("\x1b[2J\x01\xff", 6), "'?[2J?\?' starts with no word"},
  };
  for (const auto& [text, reason] : cases) {
    const auto why = why_not(start + line_of("alice", " at=10.0.0.1:1") + text + "\nend\n");
    EXPECT_THAT(why, HasSubstr(reason)) << text;
    EXPECT_THAT(why, HasSubstr("nothing has been imported")) << text;
    EXPECT_EQ(why.find('\n'), std::string::npos);
    if (!reason.empty()) {
      EXPECT_TRUE(why.starts_with("line " + line + ": ")) << why;
    }
  }
}

TEST_F(BackupRefusedTest, BadMembersAreNamed) {
  const std::string start = head();
  const std::string key = " key=" + std::string(a_key_of_twos);
  const std::string joined = " joined=2026-11-23T17:05:00Z";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"member 0" + key + joined, "'0' is no member's number"},
      {"member" + key + joined, "is no member's number"},
      {"member 4611686018427387904" + key + joined, "is no member's number"},
      {"member 2" + key, "it has no 'joined='"},
      {"member 2" + joined, "it has no 'key='"},
      {"member 2" + key + joined + " revoked=now", "'now' is no time"},
      {"member 2" + key + joined + " name=laptop", "unknown word 'name'"},
      {"member 1" + key + joined, "another member"},
      {"member 2 key=" + std::string(a_key_of_ones) + joined, "another member"}};
  for (const auto& [text, reason] : cases) EXPECT_THAT(why_not(start + text + "\nend\n"), HasSubstr(reason)) << text;
  EXPECT_EQ(why_not(start + "member 4611686018427387903" + key + joined + "\nend\n"), "");
}

TEST_F(BackupRefusedTest, APartIsNotTakenForTheWhole) {
  const auto text = write(filled());
  ASSERT_EQ(why_not(text), "");
  for (std::size_t size = 0; size + 4 < text.size(); size += 97) EXPECT_NE(why_not(text.substr(0, size)), "") << size;
  EXPECT_THAT(why_not(text.substr(0, text.size() - 4)), HasSubstr("without the line 'end'"));
  EXPECT_EQ(why_not(text.substr(0, text.size() - 1)), "") << "the last line needs no end";
}

TEST_F(BackupRefusedTest, OtherTextsAndVersionsAreTold) {
  for (const auto* text : {"", "\n# nothing\n", "hello\n", "sessionfs-names\n", "sessionfs-names one\n", "\0\0\0"})
    EXPECT_NE(why_not(text), "");
  EXPECT_THAT(why_not("sessionfs-names 2\nend\n"), HasSubstr("version 2"));
  EXPECT_THAT(why_not("SQLite format 3"), HasSubstr("no output of snsd export"));
  EXPECT_THAT(why_not("sessionfs-names 1\nend\n"), HasSubstr("'domain' is missing"));
  EXPECT_THAT(why_not("sessionfs-names 1\ndomain verkstad.net\nend\n"), HasSubstr("certificate and key are missing"));
  EXPECT_THAT(why_not("sessionfs-names 1\nauthority key\n"), HasSubstr("'domain' is missing"));
  EXPECT_THAT(why_not("sessionfs-names 1\ndomain a b\n"), HasSubstr("no valid domain"));
}

TEST_F(BackupRefusedTest, TheAuthorityMustBeThatOfTheDomain) {
  const auto now = real_time();
  const auto text = [](const std::string& certificate, const std::string& key) {
    return "sessionfs-names 1\ndomain verkstad.net\nauthority certificate\n" + certificate + "authority key\n" + key +
           "end\n";
  };
  const auto good = Authority::create("verkstad.net", now);
  const auto other = Authority::create("example.com", now);
  const auto old = Authority::create("verkstad.net", now - authority_lifetime - hours(24));
  ASSERT_EQ(why_not(text(good.certificate().pem(), good.key_pem())), "");
  EXPECT_NE(why_not(text(good.certificate().pem(), other.key_pem())), "");
  EXPECT_THAT(why_not(text(other.certificate().pem(), other.key_pem())), HasSubstr("does not hold for verkstad.net"));
  EXPECT_EQ(why_not(text(old.certificate().pem(), old.key_pem())), "") << "the clock may be wrong";
  EXPECT_NE(why_not(text(good.key_pem(), good.certificate().pem())), "") << "changed about";
  EXPECT_NE(why_not(text("end\n", good.key_pem())), "");
  std::string endless = "-----BEGIN CERTIFICATE-----\n";
  while (endless.size() <= max_pem_bytes) endless += "AAAA\n";
  EXPECT_THAT(why_not(text(endless, good.key_pem())), HasSubstr("-----END"));
}

TEST_F(BackupRefusedTest, AnotherDomainThanWasAskedForIsRefused) {
  const auto text = head() + "end\n";
  EXPECT_THAT(why_not(text, "example.com"), HasSubstr("this is the domain verkstad.net, not example.com"));
  EXPECT_EQ(why_not(text, "Verkstad.net"), "");
}

TEST_F(BackupRefusedTest, LimitsOfTheTableHoldHere) {
  std::string services;
  for (std::size_t i = 0; i < max_services_per_endpoint; ++i)
    services += "service s" + std::to_string(i) + ".a@verkstad.net port=0\n";
  EXPECT_EQ(why_not(head() + line_of("a") + services + "end\n"), "");
  EXPECT_THAT(why_not(head() + line_of("a") + services + "service more.a@verkstad.net port=0\nend\n"),
              HasSubstr("more than 1024 services"));
  std::string addresses;
  for (std::size_t i = 0; i < max_addresses; ++i) addresses += " at=[2001:db8:1111:2222:3333:4444:5555:6666]:65535";
  EXPECT_EQ(why_not(head() + line_of("a", addresses) + "end\n"), "");
  EXPECT_THAT(why_not(head() + line_of("a", addresses + " at=10.0.0.1:1") + "end\n"), HasSubstr("more than 16 addr"));
}

TEST_F(BackupRefusedTest, TheLongestLineThatIsWrittenCanBeRead) {
  Storage storage = Storage::open(folder("long"), "verkstad.net", real_time());
  std::vector<Address> addresses(max_addresses, v6(1, 65535));
  for (auto& address : addresses) address.ip.fill(0xee);
  const auto name = endpoint(std::string(max_object_bytes, 'x') + "@verkstad.net");
  storage.store(NewEndpoint{name, {}, at(max_generation), addresses}, 0, test_time);
  storage.store_away(name, test_time);
  EXPECT_EQ(why_not(write(storage)), "");
}

}  // namespace
}  // namespace sessionfs::sns
