// A name server's backup as text: what is written is read back, and what is wrong is refused as a whole.
#include "sns/backup.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/sns/fixtures.hpp"
#include "tests/sns/full_disk.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;

constexpr std::string_view a_key_of_ones = "1111111111111111111111111111111111111111111111111111111111111111";
constexpr std::string_view a_key_of_twos = "2222222222222222222222222222222222222222222222222222222222222222";

class BackupTest : public ::testing::Test {
 protected:
  std::filesystem::path folder(const std::string& name) const { return folder_.path() / name; }
  static std::string write(const Storage& storage) {
    std::string text;
    write_backup(storage, [&](std::string_view piece) { text += piece; });
    return text;
  }
  // `room`: how much is given at once, at most.
  BackupCounts read(const std::string& text, const std::string& name, std::size_t room = backup_piece_bytes,
                    const std::string& domain = "") const {
    std::string_view rest = text;
    const auto source = [&](std::span<char> into) {
      const auto count = std::min({into.size(), rest.size(), room});
      std::copy_n(rest.begin(), count, into.begin());
      rest.remove_prefix(count);
      return count;
    };
    return read_backup(source, folder(name), domain, real_time());
  }
  // Why it is refused; and that nothing is left of it.
  std::string why_not(const std::string& text, const std::string& domain = "") const {
    try {
      read(text, "refused", backup_piece_bytes, domain);
    } catch (const std::runtime_error& error) {
      EXPECT_FALSE(std::filesystem::exists(folder("refused"))) << error.what();
      return error.what();
    }
    std::filesystem::remove_all(folder("refused"));
    return "";
  }
  // A name server of verkstad.net with a bit of everything.
  Storage filled() const {
    Storage storage = Storage::open(folder("filled"), "verkstad.net", real_time());
    const auto first = storage.admit(KeyPair::generate().public_key(), test_time);
    const auto second = storage.admit(KeyPair::generate().public_key(), test_time + hours(1));
    EXPECT_TRUE(storage.revoke_member(first, test_time + hours(2)));
    const auto key = KeyPair::generate().public_key();
    const auto alice = endpoint("alice@verkstad.net");
    storage.store(NewEndpoint{alice, key, at(max_generation, 0xab), {v6(1, 4700), v4(1, 1), v6(9, 65535)}}, second,
                  test_time);
    storage.store(NewService{{"file", alice}, at(max_generation, 0xab), 0}, 0, test_time);
    storage.store(NewService{{"a-b_c", alice}, at(max_generation, 0xab), 65535}, 0, test_time);
    const auto gone = endpoint("gone@verkstad.net");
    storage.store(NewEndpoint{gone, key, at(0, 0), {}}, 0, test_time + hours(3));
    storage.store_away(gone, test_time + hours(4));
    const auto stolen = endpoint("stolen.1@verkstad.net");
    storage.store(NewEndpoint{stolen, key, at(2), {v4(2, 2)}}, first, test_time);
    storage.store(RevokeEndpoint{stolen}, 0, test_time + hours(5));
    return storage;
  }
  // The start of a text with a new authority, and a member 1.
  static std::string head(const std::string& domain = "verkstad.net", UnixTime now = real_time()) {
    const auto authority = Authority::create(domain, now);
    return "sessionfs-names 1\ndomain " + domain + "\nauthority certificate\n" + authority.certificate().pem() +
           "authority key\n" + authority.key_pem() + "member 1 key=" + std::string(a_key_of_ones) +
           " joined=2026-11-23T17:05:00Z\n";
  }
  static std::string line_of(const std::string& name, const std::string& more = "", const std::string& member = "1") {
    return "endpoint " + name + "@verkstad.net key=" + std::string(a_key_of_twos) +
           " generation=1 mark=00000000000000000000000000000000 member=" + member + " changed=2026-11-23T17:05:00Z" +
           more + "\n";
  }

  TemporaryFolder folder_;
};

// --- round trips --------------------------------------------------------------------------------------------------

TEST_F(BackupTest, WhatIsReadIsWhatWasWritten) {
  const Storage from = filled();
  const auto text = write(from);
  const auto counts = read(text, "copy");
  EXPECT_EQ(counts.domain, "verkstad.net");
  EXPECT_EQ(counts.members, 2U);
  EXPECT_EQ(counts.endpoints, 3U);
  EXPECT_EQ(counts.services, 2U);
  const Storage to = Storage::attach(folder("copy"));
  EXPECT_EQ(write(to), text);
  EXPECT_EQ(to.authority().key_pem(), from.authority().key_pem());
  EXPECT_EQ(to.authority().certificate().pem(), from.authority().certificate().pem());
  const auto alice = to.find_endpoint(endpoint("alice@verkstad.net"));
  ASSERT_TRUE(alice);
  EXPECT_EQ(alice->entry.residence, at(max_generation, 0xab));
  EXPECT_EQ(alice->entry.addresses, (std::vector{v6(1, 4700), v4(1, 1), v6(9, 65535)})) << "in their order";
  EXPECT_EQ(alice->member, 2U);
  EXPECT_EQ(to.find_endpoint(endpoint("gone@verkstad.net"))->entry.away_since, test_time + hours(4));
  EXPECT_EQ(to.find_endpoint(endpoint("stolen.1@verkstad.net"))->revoked, test_time + hours(5));
}

TEST_F(BackupTest, AServerServesFromWhatWasRead) {
  const auto text = write(filled());
  read(text, "copy");
  Responder responder(Storage::open(folder("copy"), "verkstad.net", real_time()));
  EXPECT_EQ(responder.table().size(), 3U);
  EXPECT_EQ(responder.table().find(endpoint("alice@verkstad.net"))->services.size(), 2U);
  EXPECT_EQ(responder.storage().admit(KeyPair::generate().public_key(), test_time), 3U) << "numbers go on";
}

TEST_F(BackupTest, FilesArePrivateAndNothingElseIsLeft) {
  read(write(filled()), "copy");
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(folder("copy")).permissions(), perms::owner_all);
  EXPECT_EQ(std::filesystem::status(folder("copy") / "sns.sqlite").permissions(),
            perms::owner_read | perms::owner_write);
  EXPECT_FALSE(std::filesystem::exists(folder("copy") / "import"));
}

TEST_F(BackupTest, OfANewServerToo) {
  const Storage from = Storage::open(folder("new"), "local", real_time());
  const auto text = write(from);
  EXPECT_EQ(read(text, "copy").endpoints, 0U);
  EXPECT_EQ(write(Storage::attach(folder("copy"))), text);
}

TEST_F(BackupTest, PiecesAndTheirEndsDoNotMatter) {
  const auto text = write(filled());
  for (const std::size_t room : {std::size_t{1}, std::size_t{7}, std::size_t{4096}})
    EXPECT_EQ(read(text, "copy" + std::to_string(room), room).endpoints, 3U);
}

TEST_F(BackupTest, LongTextsGoThroughPieceByPiece) {
  std::string text = head();
  for (int i = 0; i < 3000; ++i) {
    const auto name = "e" + std::to_string(10000 + i);
    text +=
        line_of(name, " at=10.0.0.1:4700") + "service file." + name + "@verkstad.net port=" + std::to_string(i) + "\n";
  }
  text += "end\n";
  ASSERT_GT(text.size(), 5 * backup_piece_bytes);
  EXPECT_EQ(read(text, "long", 4099).services, 3000U);
  const Storage storage = Storage::attach(folder("long"));
  std::size_t pieces = 0;
  std::string again;
  write_backup(storage, [&](std::string_view piece) {
    ++pieces;
    EXPECT_LE(piece.size(), backup_piece_bytes + max_backup_line_bytes);
    again += piece;
  });
  EXPECT_GT(pieces, 5U);
  EXPECT_EQ(again.substr(again.find("member 1")), text.substr(text.find("member 1")));
}

// What a person may do to a text.
TEST_F(BackupTest, CommentsSpaceOrderAndCaseDoNotMatter) {
  std::string text = "# a copy\n\n" + head() + "  \t\n   # Alice\n" +
                     "endpoint   ALICE@Verkstad.Net  member=0\tat=10.0.0.1:4700 changed=2026-11-23T17:05:00Z mark=" +
                     std::string(32, 'A') + " at=[2001:DB8:0::1]:1 generation=007 key=" + std::string(64, 'F') +
                     "  \r\n" + "  service FILE.alice@verkstad.net port=0\nend  \n\n# that is all\n";
  EXPECT_EQ(read(text, "copy").services, 1U);
  const auto alice = Storage::attach(folder("copy")).find_endpoint(endpoint("alice@verkstad.net"));
  ASSERT_TRUE(alice);
  EXPECT_EQ(alice->entry.residence, at(7, 0xaa));
  EXPECT_EQ(alice->entry.addresses, (std::vector{v4(1, 4700), v6(1, 1)}));
  EXPECT_EQ(alice->entry.services.at(0).name, "file");
}

TEST_F(BackupTest, EndpointsMayComeInAnyOrder) {
  EXPECT_EQ(why_not(head() + line_of("b") + "service x.b@verkstad.net port=1\nservice a.b@verkstad.net port=1\n" +
                    line_of("a") + "end"),
            "");
}

// --- of one moment ------------------------------------------------------------------------------------------------

TEST_F(BackupTest, ChangesWhileItIsWrittenAreNotInIt) {
  read(head() + line_of("alice") + "service file.alice@verkstad.net port=0\nend\n", "server");
  Storage server = Storage::open(folder("server"), "verkstad.net", real_time());
  const Storage tool = Storage::attach(folder("server"));
  const auto before = write(tool);
  std::string during;
  tool.read_at_once([&] {
    EXPECT_TRUE(tool.find_endpoint(endpoint("alice@verkstad.net")));
    server.store(NewEndpoint{endpoint("bob@verkstad.net"), {}, at(1), {}}, 1, test_time);
    server.store(DeleteEndpoint{endpoint("alice@verkstad.net"), at(1, 0)}, 0, test_time);
    EXPECT_TRUE(tool.find_endpoint(endpoint("alice@verkstad.net")));
    EXPECT_FALSE(tool.find_endpoint(endpoint("bob@verkstad.net")));
  });
  EXPECT_FALSE(tool.find_endpoint(endpoint("alice@verkstad.net")));
  EXPECT_NE(write(tool), before);
  // The database's own statements, too, while the first piece is being written.
  std::string text;
  write_backup(tool, [&](std::string_view piece) {
    text += piece;
    server.store(DeleteEndpoint{endpoint("bob@verkstad.net"), at(1)}, 0, test_time);
  });
  EXPECT_THAT(text, HasSubstr("endpoint bob@"));
}

TEST_F(BackupTest, WhatCannotBeWrittenEndsIt) {
  const Storage storage = filled();
  EXPECT_THROW(write_backup(storage, [](std::string_view) { throw std::runtime_error("full"); }), std::runtime_error);
  EXPECT_THAT(write(storage), HasSubstr("end\n")) << "and it can be tried again";
}

// A server that has not yet noticed a revocation may still store what the endpoint does.
TEST_F(BackupTest, OfARevokedEndpointNothingIsWrittenThatDoesNotCount) {
  Storage storage = filled();
  const auto stolen = endpoint("stolen.1@verkstad.net");
  storage.store(ChangeEndpoint{stolen, at(3), {v4(6, 6)}}, 0, test_time);
  storage.store(NewService{{"file", stolen}, at(3), 0}, 0, test_time);
  const auto text = write(storage);
  EXPECT_EQ(text.find("10.0.0.6"), std::string::npos);
  EXPECT_EQ(text.find("service file.stolen"), std::string::npos);
  EXPECT_EQ(why_not(text), "");
}

// --- what is refused ----------------------------------------------------------------------------------------------

TEST_F(BackupTest, ABadLineIsNamedAndNothingIsLeft) {
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

TEST_F(BackupTest, BadMembersAreNamed) {
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

TEST_F(BackupTest, APartIsNotTakenForTheWhole) {
  const auto text = write(filled());
  ASSERT_EQ(why_not(text), "");
  for (std::size_t size = 0; size + 4 < text.size(); size += 97) EXPECT_NE(why_not(text.substr(0, size)), "") << size;
  EXPECT_THAT(why_not(text.substr(0, text.size() - 4)), HasSubstr("without the line 'end'"));
  EXPECT_EQ(why_not(text.substr(0, text.size() - 1)), "") << "the last line needs no end";
}

TEST_F(BackupTest, OtherTextsAndVersionsAreTold) {
  for (const auto* text : {"", "\n# nothing\n", "hello\n", "sessionfs-names\n", "sessionfs-names one\n", "\0\0\0"})
    EXPECT_NE(why_not(text), "");
  EXPECT_THAT(why_not("sessionfs-names 2\nend\n"), HasSubstr("version 2"));
  EXPECT_THAT(why_not("SQLite format 3"), HasSubstr("no output of snsd export"));
  EXPECT_THAT(why_not("sessionfs-names 1\nend\n"), HasSubstr("'domain' is missing"));
  EXPECT_THAT(why_not("sessionfs-names 1\ndomain verkstad.net\nend\n"), HasSubstr("certificate and key are missing"));
  EXPECT_THAT(why_not("sessionfs-names 1\nauthority key\n"), HasSubstr("'domain' is missing"));
  EXPECT_THAT(why_not("sessionfs-names 1\ndomain a b\n"), HasSubstr("no valid domain"));
}

TEST_F(BackupTest, TheAuthorityMustBeThatOfTheDomain) {
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

TEST_F(BackupTest, AnotherDomainThanWasAskedForIsRefused) {
  const auto text = head() + "end\n";
  EXPECT_THAT(why_not(text, "example.com"), HasSubstr("this is the domain verkstad.net, not example.com"));
  EXPECT_EQ(why_not(text, "Verkstad.net"), "");
}

TEST_F(BackupTest, LimitsOfTheTableHoldHere) {
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

TEST_F(BackupTest, TheLongestLineThatIsWrittenCanBeRead) {
  Storage storage = Storage::open(folder("long"), "verkstad.net", real_time());
  std::vector<Address> addresses(max_addresses, v6(1, 65535));
  for (auto& address : addresses) address.ip.fill(0xee);
  const auto name = endpoint(std::string(max_object_bytes, 'x') + "@verkstad.net");
  storage.store(NewEndpoint{name, {}, at(max_generation), addresses}, 0, test_time);
  storage.store_away(name, test_time);
  EXPECT_EQ(why_not(write(storage)), "");
}

// --- the folder ---------------------------------------------------------------------------------------------------

TEST_F(BackupTest, ADatabaseIsNeverReplaced) {
  const auto text = write(filled());
  read(text, "copy");
  for (int round = 0; round < 2; ++round) {
    try {
      read(head() + "end\n", "copy");
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("there is already"));
    }
    EXPECT_EQ(write(Storage::attach(folder("copy"))), text);
  }
  // A log without its database would be taken for the new one's.
  std::filesystem::create_directories(folder("log"));
  std::ofstream(folder("log") / "sns.sqlite-wal") << "x";
  EXPECT_THROW(read(text, "log"), std::runtime_error);
}

TEST_F(BackupTest, AServerThatIsStartedMeanwhileWins) {
  const auto text = head() + "end\n";
  std::size_t at = 0;
  const auto slowly = [&](std::span<char> room) {
    if (at == text.size()) {
      static_cast<void>(Storage::open(folder("both"), "verkstad.net", real_time()));
      return std::size_t{0};
    }
    const auto count = std::min(room.size(), text.size() - at);
    std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(at), count, room.begin());
    at += count;
    return count;
  };
  EXPECT_THROW(read_backup(slowly, folder("both"), "", real_time()), std::runtime_error);
  EXPECT_TRUE(Storage::attach(folder("both")).members().empty()) << "the server's own";
  EXPECT_FALSE(std::filesystem::exists(folder("both") / "import"));
}

TEST_F(BackupTest, TwoAtOnceDoNotDisturbEachOther) {
  const auto text = head() + "end\n";
  std::string second;
  bool started = false;
  std::string_view rest = text;
  const auto source = [&](std::span<char> room) {
    if (rest.empty() && !started) {
      started = true;
      try {
        read(text, "both");
      } catch (const std::runtime_error& error) {
        second = error.what();
      }
    }
    const auto count = std::min(room.size(), rest.size());
    std::copy_n(rest.begin(), count, room.begin());
    rest.remove_prefix(count);
    return count;
  };
  EXPECT_EQ(read_backup(source, folder("both"), "", real_time()).members, 1U);
  EXPECT_THAT(second, HasSubstr("another import"));
  EXPECT_EQ(Storage::attach(folder("both")).members().size(), 1U);
}

TEST_F(BackupTest, WhatAKilledImportHasLeftIsRemoved) {
  std::filesystem::create_directories(folder("copy") / "import" / "x");
  std::ofstream(folder("copy") / "import" / "sns.sqlite") << "half";
  EXPECT_EQ(read(head() + "end\n", "copy").members, 1U);
  EXPECT_EQ(Storage::attach(folder("copy")).members().size(), 1U);
  EXPECT_FALSE(std::filesystem::exists(folder("copy") / "import"));
}

TEST_F(BackupTest, AFolderThatWasThereStaysAsItWas) {
  std::filesystem::create_directories(folder("mine"));
  std::ofstream(folder("mine") / "note") << "mine";
  std::filesystem::permissions(folder("mine"), std::filesystem::perms(0755));
  EXPECT_THROW(read(head(), "mine"), std::runtime_error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder("mine")), {}), 1);
  read(head() + "end\n", "mine");
  EXPECT_EQ(std::filesystem::status(folder("mine")).permissions(), std::filesystem::perms(0755));
  EXPECT_TRUE(std::filesystem::exists(folder("mine") / "note"));
}

TEST_F(BackupTest, AFullDiskLeavesNothing) {
  std::string text = head();
  for (int i = 0; i < 500; ++i) text += line_of("e" + std::to_string(i));
  text += "end\n";
  const FullDisk full;
  EXPECT_NE(why_not(text), "");
}

// --- words --------------------------------------------------------------------------------------------------------

TEST_F(BackupTest, TimesAndAddressesAreExact) {
  for (const std::int64_t seconds : {0LL, 1'800'000'000LL, 951'782'400LL, 253'402'300'799LL}) {
    const UnixTime time{std::chrono::seconds(seconds)};
    EXPECT_EQ(parse_time(to_text(time)), time);
  }
  for (const auto* text : {"", "2026-11-23", "2026-11-23T17:05:00", "2026-11-23 17:05:00Z", "2026-13-01T00:00:00Z",
                           "2026-11-23T24:00:00Z", "2026-11-23T00:60:00Z", "2026-11-23T00:00:60Z",
                           "1969-12-31T23:59:59Z", "-026-11-23T17:05:00Z", "2026-11-23T17:05:00Z "})
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
  Address mapped = v6(1, 1);
  mapped.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1};
  for (const auto& address : {v4(1, 1), v6(1, 65535), mapped}) EXPECT_EQ(parse_address(to_string(address)), address);
  for (const auto* text : {"", ":", "[]:1", "[10.0.0.1]:1", "::1:1", "10.0.0.1:+1", "10.0.0.1:1 ", "host:1"})
    EXPECT_EQ(parse_address(text), std::nullopt) << text;
}

}  // namespace
}  // namespace sessionfs::sns
