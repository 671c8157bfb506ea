#include "sns/storage.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::hours;

class StorageTest : public ::testing::Test {
 protected:
  Storage open() const { return Storage::open(folder_.path() / "sns", "verkstad.net", test_time); }
  static Table table_of(const Storage& storage) {
    Table table(storage.domain());
    storage.load(table);
    return table;
  }
  void execute(const char* sql) const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((folder_.path() / "sns/sns.sqlite").c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  TemporaryFolder folder_;
  EndpointName alice_ = endpoint("alice@verkstad.net");
  PublicKey key_ = KeyPair::generate().public_key();
};

TEST_F(StorageTest, WhatWasStoredIsLoaded) {
  {
    Storage storage = open();
    storage.store(NewEndpoint{alice_, key_, at(1), {v6(1, 4700), v4(1, 4700)}}, 3, test_time);
    storage.store(NewEndpoint{endpoint("bob@verkstad.net"), key_, at(1), {}}, 3, test_time);
    storage.store(ChangeEndpoint{alice_, at(max_generation), {v4(2, 1)}}, 0, test_time);
    storage.store(NewService{{"file", alice_}, at(1), 0}, 0, test_time);
    storage.store(NewService{{"echo", alice_}, at(1), 7}, 0, test_time);
    storage.store(NewService{{"gone", alice_}, at(1), 7}, 0, test_time);
    storage.store(NewService{{"file", endpoint("bob@verkstad.net")}, at(1), 7}, 0, test_time);
    storage.store(ChangeService{{"echo", alice_}, at(1), 8}, 0, test_time);
    storage.store(DeleteService{{"gone", alice_}, at(1)}, 0, test_time);
    storage.store(DeleteEndpoint{endpoint("bob@verkstad.net"), at(1)}, 0, test_time);
  }
  const Table table = table_of(open());
  EXPECT_EQ(table.size(), 1U);
  const auto* found = table.find(alice_);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->residence, at(max_generation));
  EXPECT_EQ(found->key, key_);
  EXPECT_EQ(found->addresses, std::vector{v4(2, 1)});
  ASSERT_EQ(found->services.size(), 2U);
  EXPECT_EQ(table.find(*found, "echo")->port, 8);
  EXPECT_EQ(table.find(*found, "file")->port, 0);
}

TEST_F(StorageTest, TheAuthorityStaysTheSame) {
  const auto before = open().authority().certificate().fingerprint();
  EXPECT_EQ(open().authority().certificate().fingerprint(), before);
  EXPECT_EQ(Storage::attach(folder_.path() / "sns").authority().certificate().fingerprint(), before);
}

// As that of a service of systemd with DynamicUser=.
TEST_F(StorageTest, ItsFolderMayBeALink) {
  std::filesystem::create_directory(folder_.path() / "elsewhere");
  std::filesystem::create_directory_symlink("elsewhere", folder_.path() / "sns");
  open().store(NewEndpoint{alice_, key_, at(1), {v4(1, 4700)}}, 3, test_time);
  EXPECT_EQ(table_of(open()).size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "elsewhere/sns.sqlite"));
}

TEST_F(StorageTest, FilesArePrivate) {
  const Storage storage = open();
  for (const auto& file : std::filesystem::directory_iterator(folder_.path() / "sns")) {
    struct stat status {};
    ASSERT_EQ(::stat(file.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0077, 0U) << file.path();
  }
}

TEST_F(StorageTest, ServesOneDomainByOneServer) {
  {
    const Storage storage = open();
    EXPECT_THROW(open(), std::runtime_error);
    EXPECT_EQ(Storage::attach(folder_.path() / "sns").domain(), "verkstad.net");
  }
  EXPECT_THROW(Storage::open(folder_.path() / "sns", "example.com", test_time), std::runtime_error);
  EXPECT_EQ(Storage::open(folder_.path() / "sns", "VERKSTAD.net", test_time).domain(), "verkstad.net");
}

TEST_F(StorageTest, AttachMakesNothing) {
  EXPECT_THROW(Storage::attach(folder_.path() / "sns"), std::runtime_error);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "sns"));
}

TEST_F(StorageTest, OtherVersionsAndDamageAreRefused) {
  {
    Storage storage = open();
    storage.store(NewEndpoint{alice_, key_, at(1), {}}, 1, test_time);
  }
  execute("PRAGMA user_version = 3");
  EXPECT_THROW(open(), std::runtime_error);
  EXPECT_THROW(Storage::attach(folder_.path() / "sns"), std::runtime_error);
  execute("PRAGMA user_version = 2; UPDATE endpoints SET addresses = x'0105'");
  EXPECT_THROW(table_of(open()), std::runtime_error);
  execute("UPDATE endpoints SET addresses = x'00', public_key = x'01'");
  EXPECT_THROW(table_of(open()), std::runtime_error);
  execute("UPDATE endpoints SET public_key = zeroblob(32), name = 'alice@example.com'");
  EXPECT_THROW(table_of(open()), std::runtime_error);
  execute("DELETE FROM meta WHERE key = 'authority key'");
  EXPECT_THROW((void)open().authority(), std::runtime_error);
  std::ofstream(folder_.path() / "sns/sns.sqlite", std::ios::trunc) << "no database at all, but long enough to be read";
  EXPECT_THROW(open(), std::runtime_error);
}

TEST_F(StorageTest, ATokenIsGoodForOneMember) {
  Storage storage = open();
  const Secret secret{std::byte{1}};
  const Secret other{std::byte{2}};
  ASSERT_TRUE(storage.add_token(secret, test_time + hours(1), test_time));
  EXPECT_EQ(storage.redeem(other, key_, test_time).status, Status::token_unknown);
  const auto first = storage.redeem(secret, key_, test_time);
  EXPECT_EQ(first.status, Status::ok);
  EXPECT_EQ(storage.member(first.id).status, Status::ok);
  EXPECT_EQ(storage.member(first.id).key, key_);
  EXPECT_EQ(storage.redeem(secret, KeyPair::generate().public_key(), test_time).status, Status::token_used);
  const auto again = storage.redeem(secret, key_, test_time + hours(2));
  EXPECT_EQ(again.status, Status::ok);
  EXPECT_EQ(again.id, first.id);
}

TEST_F(StorageTest, TokensExpire) {
  Storage storage = open();
  const Secret secret{std::byte{1}};
  ASSERT_TRUE(storage.add_token(secret, test_time + hours(1), test_time));
  EXPECT_EQ(storage.redeem(secret, key_, test_time + hours(1)).status, Status::token_expired);
  EXPECT_EQ(storage.redeem(secret, key_, test_time + hours(1) - std::chrono::seconds(1)).status, Status::ok);
}

TEST_F(StorageTest, SpentTokensAreForgottenInTheEnd) {
  Storage storage = open();
  const Secret secret{std::byte{1}};
  ASSERT_TRUE(storage.add_token(secret, test_time, test_time));
  const auto later = test_time + spent_token_kept + hours(1);
  ASSERT_TRUE(storage.add_token(Secret{std::byte{2}}, later, later));
  EXPECT_EQ(storage.redeem(secret, key_, later).status, Status::token_unknown);
}

TEST_F(StorageTest, AnotherProcessAddsTokensWhileAServerRuns) {
  Storage server = open();
  Storage tool = Storage::attach(folder_.path() / "sns");
  const Secret secret{std::byte{1}};
  ASSERT_TRUE(tool.add_token(secret, test_time + hours(1), test_time));
  EXPECT_EQ(server.redeem(secret, key_, test_time).status, Status::ok);
  server.set_served_at("[::]:4701");
  EXPECT_EQ(tool.served_at(), "[::]:4701");
}

TEST_F(StorageTest, MembersAreKnownByTheirKey) {
  Storage storage = open();
  const auto id = storage.admit(key_, test_time);
  EXPECT_NE(id, 0U);
  EXPECT_EQ(storage.admit(key_, test_time), id);
  EXPECT_NE(storage.admit(KeyPair::generate().public_key(), test_time), id);
  EXPECT_EQ(storage.member(id).status, Status::ok);
  EXPECT_EQ(storage.member(id).key, key_);
  EXPECT_EQ(storage.member(id + 100).status, Status::not_member);
  EXPECT_EQ(storage.member(0).status, Status::not_member);
  EXPECT_EQ(storage.member(~MemberId{0}).status, Status::not_member);
}

}  // namespace
}  // namespace sessionfs::sns
