#include "sns/storage_restore.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "sns/sqlite.hpp"
#include "sns/storage_values.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {
namespace {

constexpr std::array<const char*, 3> database_suffixes{"", "-wal", "-shm"};  // a log without its database is one, too

[[noreturn]] void fail(const std::string& what, int number) {
  throw std::runtime_error(what + ": " + std::strerror(number) + "; make room, or name another folder with --state");
}

void refuse_second_database(const std::filesystem::path& folder) {
  for (const char* suffix : database_suffixes) {
    const auto path = folder / (std::string(database_name) + suffix);
    if (std::filesystem::exists(std::filesystem::symlink_status(path)))
      throw std::runtime_error("there is already " + path.string() + "; name another folder with --state");
  }
}

}  // namespace

/// DIR/import, held by this process alone, and removed with all that is in it.
class StorageRestore::Workplace {
 public:
  explicit Workplace(const std::filesystem::path& folder) : folder_(folder), path_(folder / "import") {
    std::error_code error;
    made_ = std::filesystem::create_directories(folder_, error);
    if (error) fail("cannot make " + folder_.string(), error.value());
    if (made_) ::chmod(folder_.c_str(), 0700);
    refuse_second_database(folder_);
    if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) fail("cannot make " + path_.string(), errno);
    held_.emplace(path_, O_RDONLY | O_DIRECTORY);
    struct stat held {};
    struct stat named {};
    // Who was here before may have removed it between our two steps.
    if (::flock(held_->number(), LOCK_EX | LOCK_NB) != 0 || ::fstat(held_->number(), &held) != 0 ||
        ::stat(path_.c_str(), &named) != 0 || held.st_ino != named.st_ino)
      throw std::runtime_error("another import into " + folder_.string() + " is under way; wait until it has ended");
    for (const auto& stale : std::filesystem::directory_iterator(path_)) std::filesystem::remove_all(stale.path());
  }
  ~Workplace() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    if (made_) std::filesystem::remove(folder_, ignored);  // only when it is empty
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  void put_in_place() const {
    give_to_owner();
    sync(path_ / database_name);
    refuse_second_database(folder_);
    const auto place = folder_ / database_name;
    if (::renameat2(AT_FDCWD, (path_ / database_name).c_str(), AT_FDCWD, place.c_str(), RENAME_NOREPLACE) != 0) {
      const int number = errno;
      refuse_second_database(folder_);  // a server has been started meanwhile
      fail("cannot make " + place.string(), number);
    }
    sync(folder_ / ".");  // which may be a link
  }

 private:
  // Root restores for a server that runs as somebody else.
  void give_to_owner() const {
    if (::geteuid() != 0) return;
    struct stat owner {};
    const auto database = path_ / database_name;
    if (::stat(folder_.c_str(), &owner) != 0 || ::lchown(database.c_str(), owner.st_uid, owner.st_gid) != 0)
      fail("cannot make " + database.string(), errno);
  }

  class Descriptor {
   public:
    Descriptor(const std::filesystem::path& path, int flags)
        : number_(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW)) {
      if (number_ < 0) fail("cannot open " + path.string(), errno);
    }
    ~Descriptor() { ::close(number_); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int number() const { return number_; }

   private:
    int number_;
  };
  static void sync(const std::filesystem::path& path) {
    const Descriptor file(path, O_RDONLY);
    if (::fsync(file.number()) != 0) fail("cannot write " + path.string(), errno);
  }

  std::filesystem::path folder_;
  std::filesystem::path path_;
  bool made_ = false;
  std::optional<Descriptor> held_;
};

struct StorageRestore::Statements {
  explicit Statements(sqlite3* database)
      : member(database,
               "INSERT INTO members (id, public_key, joined, revoked) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"),
        endpoint(database,
                 "INSERT INTO endpoints (name, public_key, generation, mark, addresses, member, changed, away, revoked)"
                 " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"),
        service(database, "INSERT INTO services (endpoint, name, port) VALUES (?, ?, ?) ON CONFLICT DO NOTHING") {}
  Statement member;
  Statement endpoint;
  Statement service;
};

StorageRestore::StorageRestore(const std::filesystem::path& folder, const Authority& authority, UnixTime now)
    : workplace_(std::make_unique<Workplace>(folder)) {
  storage_.emplace(Storage::open(workplace_->path(), authority.domain(), now, Durability::process));
  sqlite3* database = storage_->database_.get();
  // What is not finished is thrown away as a whole, and what is finished is synced once.
  Statement(database, "PRAGMA journal_mode = OFF").run();
  Statement(database, "PRAGMA synchronous = OFF").run();
  Statement(database, "PRAGMA cache_size = -" + std::to_string(restore_cache_kib)).run();
  storage_->begin_batch();
  for (const auto& [key, value] : {std::pair("authority key", authority.key_pem()),
                                   std::pair("authority certificate", authority.certificate().pem())})
    Statement(database, "UPDATE meta SET value = ? WHERE key = ?").bind(value).bind(std::string_view(key)).run();
  statements_ = std::make_unique<Statements>(database);
}

StorageRestore::~StorageRestore() {
  statements_.reset();
  storage_.reset();
}

bool StorageRestore::add(const StoredMember& member) {
  Statement& insert = statements_->member.again();
  insert.bind(static_cast<std::int64_t>(member.id))
      .bind(std::span<const std::byte>(member.key))
      .bind(to_seconds(member.joined));
  bind_time(insert, member.revoked);
  return insert.run() == 1;
}

bool StorageRestore::add(const StoredEndpoint& endpoint) {
  const auto addresses = encode_addresses(endpoint.entry.addresses);
  Statement& insert = statements_->endpoint.again();
  insert.bind(endpoint.name.str())
      .bind(std::span<const std::byte>(endpoint.entry.key))
      .bind(static_cast<std::int64_t>(endpoint.entry.residence.generation))
      .bind(std::span<const std::byte>(endpoint.entry.residence.mark))
      .bind(addresses)
      .bind(static_cast<std::int64_t>(endpoint.member))
      .bind(to_seconds(endpoint.changed));
  bind_time(insert, endpoint.entry.away_since);
  bind_time(insert, endpoint.revoked);
  return insert.run() == 1;
}

bool StorageRestore::add(const EndpointName& endpoint, const Table::Service& service) {
  return statements_->service.again().bind(endpoint.str()).bind(service.name).bind(std::int64_t{service.port}).run() ==
         1;
}

void StorageRestore::finish() {
  statements_.reset();
  storage_->end_batch();
  storage_.reset();
  workplace_->put_in_place();
}

}  // namespace sessionfs::sns
