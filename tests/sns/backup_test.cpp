// A name server's backup as text: what is written is read back, into folders that have no database.
#include <gmock/gmock.h>

#include "tests/sns/backup_fixture.hpp"
#include "tests/sns/full_disk.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;

using BackupTest = BackupFixture;

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
