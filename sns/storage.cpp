#include "sns/storage.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "sns/join_token.hpp"
#include "sns/sqlite.hpp"
#include "sns/storage_values.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {
namespace {

constexpr const char* lock_name = "sns.lock";

// The fields are described where they are written; times are in seconds since 1970.
constexpr const char* schema = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE members (
  id INTEGER PRIMARY KEY AUTOINCREMENT, public_key BLOB NOT NULL UNIQUE, joined INTEGER NOT NULL, revoked INTEGER);
CREATE TABLE tokens (
  secret_hash BLOB PRIMARY KEY, expires INTEGER NOT NULL, used INTEGER,
  member INTEGER REFERENCES members (id)) WITHOUT ROWID;
CREATE TABLE endpoints (
  name TEXT PRIMARY KEY, public_key BLOB NOT NULL, generation INTEGER NOT NULL, addresses BLOB NOT NULL,
  member INTEGER NOT NULL, changed INTEGER NOT NULL,
  mark BLOB NOT NULL, away INTEGER, revoked INTEGER) WITHOUT ROWID;
CREATE TABLE services (
  endpoint TEXT NOT NULL REFERENCES endpoints (name) ON DELETE CASCADE, name TEXT NOT NULL, port INTEGER NOT NULL,
  PRIMARY KEY (endpoint, name)) WITHOUT ROWID;
PRAGMA user_version = 2;
)sql";

// From each version to the next, the first from 1 to 2.
constexpr const char* migrations[] = {R"sql(
ALTER TABLE endpoints ADD COLUMN mark BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
ALTER TABLE endpoints ADD COLUMN away INTEGER;
ALTER TABLE endpoints ADD COLUMN revoked INTEGER;
PRAGMA user_version = 2;
)sql"};
static_assert(std::size(migrations) == storage_version - 1);

void execute(sqlite3* database, const char* sql) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail_sqlite(database);
}

std::optional<std::string> find_meta(sqlite3* database, std::string_view key) {
  Statement query(database, "SELECT value FROM meta WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  return query.text(0);
}

std::string meta(sqlite3* database, std::string_view key) {
  auto value = find_meta(database, key);
  if (!value) throw std::runtime_error("the name server's database holds no " + std::string(key));
  return *value;
}

void set_meta(sqlite3* database, std::string_view key, std::string_view value) {
  Statement(database, "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)").bind(key).bind(value).run();
}

std::int64_t version_of(sqlite3* database) {
  Statement query(database, "PRAGMA user_version");
  query.step();
  return query.integer(0);
}

void create_schema(sqlite3* database, const std::string& domain, UnixTime now) {
  Transaction transaction(database);
  const Authority authority = Authority::create(domain, now);
  execute(database, schema);
  set_meta(database, "domain", authority.domain());
  set_meta(database, "authority key", authority.key_pem());
  set_meta(database, "authority certificate", authority.certificate().pem());
  transaction.commit();
}

void migrate(sqlite3* database) {
  for (auto version = version_of(database); version >= 1 && version < storage_version; ++version) {
    Transaction transaction(database);
    execute(database, migrations[version - 1]);
    transaction.commit();
  }
}

void make_private_file(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) throw std::runtime_error("cannot open " + path.string() + ": " + std::strerror(errno));
  ::close(file);
}

}  // namespace

/// Held as long as a server serves from the folder; the kernel drops it with the process.
class Storage::Lock {
 public:
  explicit Lock(const std::filesystem::path& path) : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (file_ < 0) throw std::runtime_error("cannot open " + path.string() + ": " + std::strerror(errno));
    if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
    ::close(file_);
    throw std::runtime_error("another name server serves from " + path.parent_path().string() + "; stop it first");
  }
  ~Lock() { ::close(file_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int file_;
};

void Storage::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

Storage::Storage(Database database, std::string domain, std::unique_ptr<Lock> lock)
    : lock_(std::move(lock)), database_(std::move(database)), domain_(std::move(domain)) {}
Storage::Storage(Storage&&) noexcept = default;
Storage& Storage::operator=(Storage&&) noexcept = default;
Storage::~Storage() = default;

Storage::Database Storage::open_database(const std::filesystem::path& path, Durability durability) {
  sqlite3* raw = nullptr;
  // Its folder may be a link, as that of a service of systemd is, but SQLite then follows none on the whole way.
  const auto place = std::filesystem::canonical(path.parent_path()) / path.filename();
  const int result =
      sqlite3_open_v2(place.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(raw);
  if (result != SQLITE_OK) throw std::runtime_error("cannot open " + path.string() + ": " + sqlite3_errstr(result));
  sqlite3_busy_timeout(raw, static_cast<int>(storage_busy_limit.count()));
  execute(raw, "PRAGMA journal_mode = WAL");
  execute(raw, durability == Durability::power ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  execute(raw, "PRAGMA foreign_keys = ON");
  return database;
}

Storage Storage::open(const std::filesystem::path& folder, const std::string& domain, UnixTime now,
                      Durability durability) {
  // A folder that was there before keeps its mode: the files are private by themselves (SQLite gives those that it
  // makes the mode of the database).
  if (std::filesystem::create_directories(folder)) ::chmod(folder.c_str(), 0700);
  auto lock = std::make_unique<Lock>(folder / lock_name);
  const auto path = folder / database_name;
  make_private_file(path);
  auto database = open_database(path, durability);
  if (version_of(database.get()) == 0) create_schema(database.get(), domain, now);
  migrate(database.get());
  check_version(database.get());
  auto stored = meta(database.get(), "domain");
  if (stored != parse_domain(domain))
    throw std::runtime_error(folder.string() + " belongs to the domain " + stored + ", not to " + domain +
                             "; name another folder with --state");
  return {std::move(database), std::move(stored), std::move(lock)};
}

Storage Storage::attach(const std::filesystem::path& folder) {
  const auto path = folder / database_name;
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    throw std::runtime_error("there is no name server's state in " + folder.string() +
                             "; start one with: snsd --domain DOMAIN");
  auto database = open_database(path, Durability::power);
  check_version(database.get());
  auto stored = meta(database.get(), "domain");
  return {std::move(database), std::move(stored), nullptr};
}

void Storage::check_version(sqlite3* database) {
  const auto version = version_of(database);
  if (version != storage_version)
    throw std::runtime_error("the name server's database has the version " + std::to_string(version) +
                             ", and this program knows " + std::to_string(storage_version) + "; " +
                             (version > storage_version ? "update the program" : "start the server once, it migrates"));
}

Authority Storage::authority() const {
  return Authority::load(domain_, meta(database_.get(), "authority key"),
                         meta(database_.get(), "authority certificate"));
}

namespace {

[[noreturn]] void damaged(const std::string& name) {
  throw std::runtime_error("the name server's database is damaged: " + name);
}

constexpr const char* select_endpoints =
    "SELECT name, public_key, generation, addresses, mark, away, revoked, member, changed FROM endpoints"
    " WHERE name >= ? ORDER BY name";
constexpr const char* select_services =
    "SELECT endpoint, name, port FROM services WHERE endpoint >= ? ORDER BY endpoint, name";

StoredEndpoint endpoint_in(const Statement& row) {
  StoredEndpoint out;
  auto name = EndpointName::parse(row.text(0));
  auto addresses = decode_addresses(row.bytes(3));
  if (!name || !addresses) damaged(row.text(0));
  out.name = std::move(*name);
  out.entry.key = fixed<sizeof(PublicKey)>(row.bytes(1));
  out.entry.residence = {static_cast<std::uint64_t>(row.integer(2)), fixed<sizeof(ResidenceMark)>(row.bytes(4))};
  out.entry.addresses = std::move(*addresses);
  out.entry.away_since = time_in(row, 5);
  out.revoked = time_in(row, 6);
  out.entry.revoked = out.revoked.has_value();
  out.member = static_cast<MemberId>(row.integer(7));
  out.changed = time_in(row, 8).value_or(UnixTime());
  return out;
}

}  // namespace

void Storage::for_each_endpoint(const std::string& first,
                                const std::function<bool(const StoredEndpoint&)>& each) const {
  // Both are ordered by the endpoint, so that one pass finds whose services they are.
  Statement endpoints(database_.get(), select_endpoints);
  Statement services(database_.get(), select_services);
  endpoints.bind(first);
  bool more = services.bind(first).step();
  while (endpoints.step()) {
    StoredEndpoint endpoint = endpoint_in(endpoints);
    for (; more && services.text(0) <= endpoint.name.str(); more = services.step()) {
      const auto name = parse_service_part(services.text(1));
      if (services.text(0) != endpoint.name.str() || !name) damaged(services.text(1) + "." + services.text(0));
      endpoint.entry.services.push_back({*name, static_cast<std::uint16_t>(services.integer(2))});
    }
    if (!each(endpoint)) return;
  }
}

void Storage::load(Table& table) const {
  for_each_endpoint("", [&](const StoredEndpoint& stored) {
    const auto apply = [&](const Change& change) {
      if (table.check(change) != Status::ok) damaged(stored.name.str());
      table.apply(change);
    };
    const auto& entry = stored.entry;
    apply(NewEndpoint{stored.name, entry.key, entry.residence, entry.addresses});
    for (const auto& service : entry.services)
      apply(NewService{{service.name, stored.name}, entry.residence, service.port});
    if (entry.away_since) table.set_away(stored.name, *entry.away_since);
    if (entry.revoked) apply(RevokeEndpoint{stored.name});
    return true;
  });
}

std::vector<EndpointName> Storage::revoked() const {
  std::vector<EndpointName> names;
  Statement query(database_.get(), "SELECT name FROM endpoints WHERE revoked IS NOT NULL");
  while (query.step()) {
    if (auto name = EndpointName::parse(query.text(0))) names.push_back(std::move(*name));
  }
  return names;
}

std::int64_t Storage::foreign_changes() const {
  Statement query(database_.get(), "PRAGMA data_version");
  query.step();
  return query.integer(0);
}

namespace {

class Writes {
 public:
  Writes(sqlite3* database, MemberId member, UnixTime now) : database_(database), member_(member), now_(now) {}

  void operator()(const NewEndpoint& change) const {
    const auto addresses = encode_addresses(change.addresses);
    // Of one that was revoked nothing stays for another key, and its own key stays revoked.
    Statement(database_, "DELETE FROM endpoints WHERE name = ? AND revoked IS NOT NULL AND public_key <> ?")
        .bind(change.name.str())
        .bind(std::span<const std::byte>(change.key))
        .run();
    Statement(database_,
              "INSERT INTO endpoints (name, public_key, generation, mark, addresses, member, changed)"
              " VALUES (?, ?, ?, ?, ?, ?, ?)"
              " ON CONFLICT (name) DO UPDATE SET public_key = excluded.public_key, generation = excluded.generation,"
              " mark = excluded.mark, addresses = excluded.addresses, member = excluded.member,"
              " changed = excluded.changed, away = NULL")
        .bind(change.name.str())
        .bind(std::span<const std::byte>(change.key))
        .bind(static_cast<std::int64_t>(change.residence.generation))
        .bind(std::span<const std::byte>(change.residence.mark))
        .bind(addresses)
        .bind(static_cast<std::int64_t>(member_))
        .bind(to_seconds(now_))
        .run();
  }
  void operator()(const ChangeEndpoint& change) const {
    const auto addresses = encode_addresses(change.addresses);
    one_row(Statement(database_,
                      "UPDATE endpoints SET generation = ?, mark = ?, addresses = ?, changed = ?, away = NULL"
                      " WHERE name = ?")
                .bind(static_cast<std::int64_t>(change.residence.generation))
                .bind(std::span<const std::byte>(change.residence.mark))
                .bind(addresses)
                .bind(to_seconds(now_))
                .bind(change.name.str())
                .run());
  }
  void operator()(const DeleteEndpoint& change) const {
    one_row(Statement(database_, "DELETE FROM endpoints WHERE name = ?").bind(change.name.str()).run());
  }
  void operator()(const RevokeEndpoint& change) const {
    one_row(
        Statement(database_, "UPDATE endpoints SET revoked = coalesce(revoked, ?), addresses = x'00' WHERE name = ?")
            .bind(to_seconds(now_))
            .bind(change.name.str())
            .run());
    Statement(database_, "DELETE FROM services WHERE endpoint = ?").bind(change.name.str()).run();
  }
  void operator()(const NewService& change) const {
    Statement(database_, "INSERT INTO services (endpoint, name, port) VALUES (?, ?, ?)")
        .bind(change.name.endpoint.str())
        .bind(change.name.service)
        .bind(std::int64_t{change.port})
        .run();
  }
  void operator()(const ChangeService& change) const {
    one_row(Statement(database_, "UPDATE services SET port = ? WHERE endpoint = ? AND name = ?")
                .bind(std::int64_t{change.port})
                .bind(change.name.endpoint.str())
                .bind(change.name.service)
                .run());
  }
  void operator()(const DeleteService& change) const {
    one_row(Statement(database_, "DELETE FROM services WHERE endpoint = ? AND name = ?")
                .bind(change.name.endpoint.str())
                .bind(change.name.service)
                .run());
  }

 private:
  static void one_row(int changed) {
    if (changed != 1) throw std::runtime_error("the name server's database has been changed behind its back");
  }
  sqlite3* database_;
  MemberId member_;
  UnixTime now_;
};

}  // namespace

void Storage::store(const Change& change, MemberId member, UnixTime now) {
  Transaction transaction(database_.get());
  std::visit(Writes(database_.get(), member, now), change);
  transaction.commit();
}

void Storage::store_away(const EndpointName& name, UnixTime since) {
  if (!away_) away_ = std::make_unique<Statement>(database_.get(), "UPDATE endpoints SET away = ? WHERE name = ?");
  away_->again().bind(to_seconds(since)).bind(name.str()).run();
}

void Storage::begin_batch() {
  if (!batch_) {
    batch_ = std::make_unique<Transaction>(database_.get());
  } else if (sqlite3_get_autocommit(database_.get()) != 0) {
    // SQLite has rolled it back, as it does when it cannot write: what comes now must not be kept without the rest.
    throw std::runtime_error("the changes before this one could not be written");
  }
}

void Storage::end_batch() {
  // Rolled back by its end when it throws.
  if (const auto batch = std::move(batch_)) batch->commit();
}

std::string Storage::served_at() const { return find_meta(database_.get(), "served at").value_or(""); }

void Storage::set_served_at(const std::string& address) { set_meta(database_.get(), "served at", address); }

}  // namespace sessionfs::sns
