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
#include <memory>
#include <optional>
#include <string>

#include "sns/authority.hpp"
#include "sns/table.hpp"
#include "sns/types.hpp"

struct sqlite3;

namespace sessionfs::sns {

inline constexpr int storage_version = 1;
inline constexpr std::chrono::milliseconds storage_busy_limit{3000};
inline constexpr std::size_t max_tokens = 10000;                                 // that are kept
inline constexpr std::chrono::seconds spent_token_kept = std::chrono::days(30);  // so that its status can be told
inline constexpr std::size_t max_members = 1000000;

enum class Durability { process, power };

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
  /// A change that Table::check() has found to be ok; `member` is who made it, where that is known.
  void store(const Change& change, MemberId member, UnixTime now);

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
  /// The key of a member that was not revoked.
  [[nodiscard]] std::optional<PublicKey> member_key(MemberId id) const;

  /// "ADDRESS:PORT" that the server listens at, or did last, for `snsd token`. Empty: it has never served.
  [[nodiscard]] std::string served_at() const;
  void set_served_at(const std::string& address);

 private:
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
};

}  // namespace sessionfs::sns
