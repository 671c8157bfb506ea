// Many changes at once, older databases, and what tools read and change while a server runs.
#include <sqlite3.h>

#include <map>

#include "sns/storage.hpp"
#include "tests/sns/fixtures.hpp"
#include "tests/sns/full_disk.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::hours;

// As the first version made it.
constexpr const char* schema_of_version_1 = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE members (
  id INTEGER PRIMARY KEY AUTOINCREMENT, public_key BLOB NOT NULL UNIQUE, joined INTEGER NOT NULL, revoked INTEGER);
CREATE TABLE tokens (
  secret_hash BLOB PRIMARY KEY, expires INTEGER NOT NULL, used INTEGER,
  member INTEGER REFERENCES members (id)) WITHOUT ROWID;
CREATE TABLE endpoints (
  name TEXT PRIMARY KEY, public_key BLOB NOT NULL, generation INTEGER NOT NULL, addresses BLOB NOT NULL,
  member INTEGER NOT NULL, changed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE services (
  endpoint TEXT NOT NULL REFERENCES endpoints (name) ON DELETE CASCADE, name TEXT NOT NULL, port INTEGER NOT NULL,
  PRIMARY KEY (endpoint, name)) WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO endpoints VALUES ('alice@verkstad.net', randomblob(32), 5, x'01040a000001125c01', 1, 1800000000);
INSERT INTO endpoints VALUES ('bob@verkstad.net', randomblob(32), 1, x'00', 1, 1800000000);
INSERT INTO services VALUES ('alice@verkstad.net', 'file', 0), ('alice@verkstad.net', 'echo', 7);
INSERT INTO members (public_key, joined) VALUES (zeroblob(32), 1800000000);
)sql";

class StorageBatchTest : public ::testing::Test {
 protected:
  Storage open() const { return Storage::open(folder(), "verkstad.net", test_time); }
  Storage attach() const { return Storage::attach(folder()); }
  std::filesystem::path folder() const { return folder_.path() / "sns"; }
  static Table table_of(const Storage& storage) {
    Table table(storage.domain());
    storage.load(table);
    return table;
  }
  void execute(const std::string& sql) const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((folder() / "sns.sqlite").c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  void make_version_1() {
    const auto other = folder_.path() / "other";
    { const Storage made = Storage::open(other, "verkstad.net", test_time); }
    std::filesystem::create_directories(folder());
    execute(std::string("PRAGMA journal_mode = WAL;") + schema_of_version_1 + "ATTACH '" +
            (other / "sns.sqlite").string() + "' AS other; INSERT INTO meta SELECT * FROM other.meta");
  }
  NewEndpoint new_alice() const { return {alice_, key_, at(1), {v4(1, 4700)}}; }

  TemporaryFolder folder_;
  EndpointName alice_ = endpoint("alice@verkstad.net");
  PublicKey key_ = KeyPair::generate().public_key();
};

// --- versions -----------------------------------------------------------------------------------------------------

TEST_F(StorageBatchTest, ADatabaseOfVersion1IsMigrated) {
  make_version_1();
  EXPECT_THROW(attach(), std::runtime_error) << "a tool leaves that to the server";
  for (int round = 0; round < 2; ++round) {
    Storage storage = open();
    const Table table = table_of(storage);
    ASSERT_EQ(table.size(), 2U);
    const auto* alice = table.find(alice_);
    ASSERT_NE(alice, nullptr);
    EXPECT_EQ(alice->residence, at(5, 0)) << "with no mark";
    EXPECT_EQ(alice->addresses, std::vector{v4(1, 4700)});
    EXPECT_EQ(alice->services.size(), 2U);
    EXPECT_EQ(alice->away_since, std::nullopt);
    EXPECT_FALSE(alice->revoked);
    EXPECT_EQ(storage.member(1).status, Status::ok);
    EXPECT_EQ(storage.authority().domain(), "verkstad.net");
    EXPECT_EQ(attach().domain(), "verkstad.net");
  }
  Storage storage = open();
  storage.store(ChangeEndpoint{alice_, at(6), {}}, 0, test_time);
  storage.store(RevokeEndpoint{endpoint("bob@verkstad.net")}, 0, test_time);
  EXPECT_EQ(table_of(storage).find(alice_)->residence, at(6));
}

TEST_F(StorageBatchTest, AMigrationThatFailsChangesNothing) {
  make_version_1();
  execute("ALTER TABLE endpoints ADD COLUMN away INTEGER");  // which the migration wants to do
  EXPECT_THROW(open(), std::runtime_error);
  execute("ALTER TABLE endpoints DROP COLUMN away");
  EXPECT_EQ(table_of(open()).size(), 2U);
}

// --- batches ------------------------------------------------------------------------------------------------------

TEST_F(StorageBatchTest, ABatchIsKeptAsAWhole) {
  Storage storage = open();
  EXPECT_FALSE(storage.in_batch());
  storage.end_batch();  // of none
  storage.begin_batch();
  EXPECT_TRUE(storage.in_batch());
  storage.store(new_alice(), 1, test_time);
  storage.begin_batch();  // goes on
  storage.store(NewService{{"file", alice_}, at(1), 0}, 0, test_time);
  EXPECT_EQ(table_of(attach()).size(), 0U) << "not yet";
  storage.end_batch();
  EXPECT_FALSE(storage.in_batch());
  const Table table = table_of(attach());
  ASSERT_EQ(table.size(), 1U);
  EXPECT_EQ(table.find(alice_)->services.size(), 1U);
}

TEST_F(StorageBatchTest, ABatchWithoutAnEndIsNotKept) {
  {
    Storage storage = open();
    storage.begin_batch();
    storage.store(new_alice(), 1, test_time);
    const auto id = storage.admit(key_, test_time);
    EXPECT_NE(id, 0U);
  }
  EXPECT_EQ(table_of(open()).size(), 0U);
  EXPECT_TRUE(open().members().empty());
}

TEST_F(StorageBatchTest, AChangeThatCannotBeStoredLeavesTheOthersOfItsBatch) {
  Storage storage = open();
  storage.begin_batch();
  storage.store(new_alice(), 1, test_time);
  const EndpointName nobody = endpoint("nobody@verkstad.net");
  EXPECT_THROW(storage.store(NewService{{"file", nobody}, at(1), 0}, 0, test_time), std::runtime_error);
  EXPECT_THROW(storage.store(ChangeEndpoint{nobody, at(2), {}}, 0, test_time), std::runtime_error);
  EXPECT_THROW(storage.store(DeleteService{{"file", alice_}, at(1)}, 0, test_time), std::runtime_error);
  storage.store(NewService{{"echo", alice_}, at(1), 0}, 0, test_time);
  storage.end_batch();
  EXPECT_EQ(table_of(attach()).find(alice_)->services.size(), 1U);
}

TEST_F(StorageBatchTest, ABatchThatFailsKeepsNothing) {
  Storage storage = open();
  storage.begin_batch();
  storage.store(new_alice(), 1, test_time);
  {
    const FullDisk full;
    EXPECT_THROW(storage.end_batch(), std::runtime_error);
  }
  EXPECT_FALSE(storage.in_batch());
  EXPECT_EQ(table_of(storage).size(), 0U);
  EXPECT_EQ(table_of(attach()).size(), 0U);
  storage.begin_batch();
  storage.store(new_alice(), 1, test_time);
  storage.end_batch();
  EXPECT_EQ(table_of(attach()).size(), 1U) << "it goes on when there is room again";
}

// SQLite rolls a transaction back by itself when it has to write a part of it before its end and cannot.
TEST_F(StorageBatchTest, ABatchThatFailsBeforeItsEndKeepsNothingOfWhatFollows) {
  Storage storage = open();
  const std::vector<Address> addresses(max_addresses, v6(1, 4700));
  const auto store = [&](std::size_t i) {
    storage.begin_batch();
    storage.store(NewEndpoint{endpoint("e" + std::to_string(i) + "@verkstad.net"), key_, at(1), addresses}, 1,
                  test_time);
  };
  std::size_t stored = 0;
  bool failed = false;
  {
    const FullDisk full;
    for (; stored < 100'000 && !failed; ++stored) {
      try {
        store(stored);
      } catch (const std::runtime_error&) {
        failed = true;
      }
    }
  }
  ASSERT_TRUE(failed) << "more than the cache holds must be written";
  bool kept = true;
  try {
    store(stored);
    storage.end_batch();
  } catch (const std::runtime_error&) {
    kept = false;
    try {
      storage.end_batch();
    } catch (const std::runtime_error&) {  // as it should
    }
  }
  EXPECT_FALSE(kept);
  EXPECT_EQ(table_of(attach()).size(), 0U);
}

// --- what tools see -----------------------------------------------------------------------------------------------

TEST_F(StorageBatchTest, WhoIsAwayIsStoredUntilHeIsBack) {
  Storage storage = open();
  storage.store(new_alice(), 1, test_time);
  storage.store_away(alice_, test_time - hours(1));
  EXPECT_EQ(table_of(storage).find(alice_)->away_since, test_time - hours(1));
  EndpointInfo info;
  EXPECT_EQ(table_of(storage).get(alice_, info), Status::ok);
  EXPECT_EQ(info.away_since, test_time - hours(1));
  storage.store(ChangeEndpoint{alice_, at(1), {}}, 0, test_time);
  EXPECT_EQ(table_of(storage).find(alice_)->away_since, std::nullopt);
  storage.store_away(alice_, test_time);
  storage.store(new_alice(), 1, test_time);
  EXPECT_EQ(table_of(storage).find(alice_)->away_since, std::nullopt);
}

TEST_F(StorageBatchTest, RevokedEndpointsAreStoredUntilTheirNameIsTakenAnew) {
  Storage server = open();
  server.store(new_alice(), 1, test_time);
  server.store(NewService{{"file", alice_}, at(1), 0}, 0, test_time);
  const auto before = server.foreign_changes();
  server.store(ChangeEndpoint{alice_, at(2), {}}, 0, test_time);
  EXPECT_EQ(server.foreign_changes(), before) << "its own changes are none of another process";
  EXPECT_TRUE(server.revoked().empty());
  attach().store(RevokeEndpoint{alice_}, 0, test_time);
  EXPECT_NE(server.foreign_changes(), before);
  EXPECT_EQ(server.revoked(), std::vector{alice_});
  const Table table = table_of(server);
  EXPECT_TRUE(table.find(alice_)->revoked);
  EXPECT_TRUE(table.find(alice_)->services.empty());
  EXPECT_EQ(table.check(NewEndpoint{alice_, key_, at(9), {}}), Status::revoked);

  // As by a server that has not noticed it yet.
  server.store(NewEndpoint{alice_, key_, at(9), {v4(1, 1)}}, 1, test_time);
  EXPECT_TRUE(table_of(server).find(alice_)->revoked);

  const PublicKey other = KeyPair::generate().public_key();
  server.store(NewEndpoint{alice_, other, at(1, 2), {v4(2, 2)}}, 1, test_time);
  EXPECT_TRUE(server.revoked().empty());
  EXPECT_EQ(table_of(server).find(alice_)->key, other);
  EXPECT_FALSE(table_of(server).find(alice_)->revoked);
}

TEST_F(StorageBatchTest, EndpointsAreListedInTheOrderOfTheirNames) {
  Storage storage = open();
  for (const char* object : {"b.c", "a", "b", "b-c", "c", "b0"}) {
    const auto name = endpoint(std::string(object) + "@verkstad.net");
    storage.store(NewEndpoint{name, key_, at(1), {}}, 7, test_time);
    storage.store(NewService{{"z", name}, at(1), 1}, 0, test_time);
    storage.store(NewService{{"a", name}, at(1), 2}, 0, test_time);
  }
  std::vector<std::string> names;
  const auto note = [&](const StoredEndpoint& one) {
    names.push_back(one.name.str());
    EXPECT_EQ(one.member, 7U);
    EXPECT_EQ(one.changed, test_time);
    EXPECT_EQ(one.entry.residence, at(1));
    EXPECT_EQ(one.entry.services.size(), 2U);
    if (one.entry.services.size() == 2) EXPECT_EQ(one.entry.services[0].name, "a");
    return true;
  };
  storage.for_each_endpoint("", note);
  EXPECT_EQ(names.size(), 6U);
  EXPECT_TRUE(std::ranges::is_sorted(names));
  const auto all = names;
  names.clear();
  storage.for_each_endpoint("b@verkstad.net", note);
  EXPECT_EQ(names, std::vector(std::ranges::find(all, "b@verkstad.net"), all.end()));
  names.clear();
  storage.for_each_endpoint("bb", [&](const StoredEndpoint& one) { return note(one) && false; });
  EXPECT_EQ(names, std::vector<std::string>{"c@verkstad.net"}) << "no more than is wanted";
}

TEST_F(StorageBatchTest, DamageIsNamed) {
  const std::map<std::string, std::string> damages{
      {"UPDATE endpoints SET mark = x'01'", "size"},
      {"UPDATE endpoints SET addresses = x'02040a'", "alice@verkstad.net"},
      {"UPDATE services SET name = 'no name'", "no name.alice@verkstad.net"},
      {"PRAGMA foreign_keys = OFF; UPDATE services SET endpoint = 'aa@verkstad.net'", "aa@verkstad.net"},
      {"UPDATE endpoints SET generation = -1", "alice@verkstad.net"}};
  for (const auto& [damage, name] : damages) {
    std::filesystem::remove_all(folder());
    {
      Storage storage = open();
      storage.store(new_alice(), 1, test_time);
      storage.store(NewService{{"file", alice_}, at(1), 0}, 0, test_time);
    }
    execute(damage);
    try {
      table_of(open());
      ADD_FAILURE() << damage;
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
}

TEST_F(StorageBatchTest, MembersAreListedAndRevoked) {
  Storage storage = open();
  const auto first = storage.admit(key_, test_time);
  const auto second = storage.admit(KeyPair::generate().public_key(), test_time + hours(1));
  EXPECT_FALSE(storage.revoke_member(second + 1, test_time));
  EXPECT_TRUE(attach().revoke_member(first, test_time + hours(2)));
  EXPECT_TRUE(storage.revoke_member(first, test_time + hours(3))) << "it stays revoked since the first time";
  const auto members = storage.members();
  ASSERT_EQ(members.size(), 2U);
  EXPECT_EQ(members[0].id, first);
  EXPECT_EQ(members[0].key, key_);
  EXPECT_EQ(members[0].joined, test_time);
  EXPECT_EQ(members[0].revoked, test_time + hours(2));
  EXPECT_EQ(members[1].id, second);
  EXPECT_EQ(members[1].revoked, std::nullopt);
  EXPECT_EQ(storage.member(first).status, Status::revoked);
  EXPECT_EQ(storage.member(second).status, Status::ok);
}

}  // namespace
}  // namespace sessionfs::sns
