// What a name server keeps: its authority, members, tokens, endpoints and services, in one SQLite database.
//
//   DIR/sns.sqlite   mode 0600: it holds the authority's key
//   DIR/sns.lock     locked by the server that serves from it
//
// A change that a function has returned from is kept: with Durability::power on disk (WAL, synchronous=FULL), with
// Durability::process across a killed process, but not across a power failure (synchronous=NORMAL).
// All functions throw std::runtime_error when the database cannot be read or written. Open it after fork(), not before:
// SQLite's databases and locks do not go with a child.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sns/authority.hpp"
#include "sns/table.hpp"
#include "sns/types.hpp"

struct sqlite3;

namespace sessionfs::sns {

inline constexpr const char* database_name = "sns.sqlite";
inline constexpr int storage_version = 2;  // older ones are migrated when a server opens them
inline constexpr std::chrono::milliseconds storage_busy_limit{3000};
inline constexpr std::size_t max_tokens = 10000;                                 // that are kept
inline constexpr std::chrono::seconds spent_token_kept = std::chrono::days(30);  // so that its status can be told
inline constexpr std::size_t max_members = 1000000;

enum class Durability { process, power };

class Statement;
class Transaction;

/// An endpoint as it is stored, for tools.
struct StoredEndpoint {
  EndpointName name;
  Table::Endpoint entry;
  MemberId member = 0;  // who has created it
  UnixTime changed{};
  std::optional<UnixTime> revoked;
};
/// A member as it is stored.
struct StoredMember {
  MemberId id = 0;
  PublicKey key{};
  UnixTime joined{};
  std::optional<UnixTime> revoked;
};

class Storage {
 public:
  /// For a server: makes what is missing, with a new authority, and locks it. Fails when another process serves from
  /// it, or when it belongs to another domain.
  static Storage open(const std::filesystem::path& folder, const std::string& domain, UnixTime now,
                      Durability durability = Durability::power);
  /// For tools, also while a server runs. Fails when there is none.
  static Storage attach(const std::filesystem::path& folder);
  Storage(Storage&&) noexcept;
  Storage& operator=(Storage&&) noexcept;
  ~Storage();

  [[nodiscard]] const std::string& domain() const { return domain_; }
  [[nodiscard]] Authority authority() const;

  void load(Table& table) const;
  /// A change that Table::check() has found to be ok; `member` is who made it, where that is known. Within a batch it
  /// is kept with the batch.
  void store(const Change& change, MemberId member, UnixTime now);
  /// That it is away, for those who list endpoints; the next ChangeEndpoint ends it.
  void store_away(const EndpointName& name, UnixTime since);

  /// From here to end_batch() all changes are kept together or not at all. A batch that is open is gone on with.
  void begin_batch();
  /// Keeps them. When that fails none is kept, and it throws.
  void end_batch();
  [[nodiscard]] bool in_batch() const { return batch_ != nullptr; }

  /// Grows when another process has changed something.
  [[nodiscard]] std::int64_t foreign_changes() const;
  /// The endpoints whose keys are revoked.
  [[nodiscard]] std::vector<EndpointName> revoked() const;
  /// In the order of their names, with their services; from `first` on, as long as `each` returns true.
  void for_each_endpoint(const std::string& first, const std::function<bool(const StoredEndpoint&)>& each) const;
  /// Nothing when there is none.
  [[nodiscard]] std::optional<StoredEndpoint> find_endpoint(const EndpointName& name) const;
  /// All that `reads` reads is of one moment. As long as it runs the log of a server's changes cannot be shortened.
  void read_at_once(const std::function<void()>& reads) const;

  /// False when there are max_tokens already.
  [[nodiscard]] bool add_token(const Secret& secret, UnixTime expires, UnixTime now);
  struct Redeemed {
    Status status = Status::internal;
    MemberId id = 0;
  };
  /// Makes the owner of `key` a member, once for each token. The same key with the same token gets the same id again.
  Redeemed redeem(const Secret& secret, const PublicKey& key, UnixTime now);
  /// The member with this key, made if it is not there. 0 when there are max_members already.
  MemberId admit(const PublicKey& key, UnixTime now);
  struct Member {
    Status status = Status::not_member;  // ok, not_member, revoked
    PublicKey key{};
  };
  [[nodiscard]] Member member(MemberId id) const;
  [[nodiscard]] std::vector<StoredMember> members() const;
  /// False when there is none.
  [[nodiscard]] bool revoke_member(MemberId id, UnixTime now);
  /// How many endpoints each has created that are still there; who has created none is left out.
  [[nodiscard]] std::map<MemberId, std::size_t> endpoint_counts() const;
  /// The first `limit` endpoints, by their names, that a member has created and that are not revoked.
  [[nodiscard]] std::vector<EndpointName> endpoints_of(MemberId id, std::size_t limit) const;

  /// "ADDRESS:PORT" that the server listens at, or did last, for `snsd token`. Empty: it has never served.
  [[nodiscard]] std::string served_at() const;
  void set_served_at(const std::string& address);

 private:
  friend class StorageRestore;
  struct Close {
    void operator()(sqlite3* database) const;
  };
  using Database = std::unique_ptr<sqlite3, Close>;
  class Lock;

  Storage(Database database, std::string domain, std::unique_ptr<Lock> lock);
  static Database open_database(const std::filesystem::path& path, Durability durability);
  static void check_version(sqlite3* database);

  std::unique_ptr<Lock> lock_;
  Database database_;
  std::string domain_;
  // Before the database, which they need, is closed:
  std::unique_ptr<Transaction> batch_;
  std::unique_ptr<Statement> away_;  // of store_away(), which is called for many at once
};

}  // namespace sessionfs::sns
