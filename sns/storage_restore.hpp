// Fills a new database with what another one held, all of it or nothing.
//
//   DIR/import/   where the database grows; it takes its place in DIR when it is complete and on disk. What a killed
//                 process has left there the next one removes.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "sns/storage.hpp"

namespace sessionfs::sns {

inline constexpr int restore_cache_kib = 256 * 1024;                    // for names that come in no order
inline constexpr MemberId max_restored_member = 0x3fff'ffff'ffff'ffff;  // leaves numbers for those who come later

class StorageRestore {
 public:
  /// `folder` is made where there is none. Throws std::runtime_error when it holds a database already, when another
  /// process is filling it, or when it cannot be written.
  StorageRestore(const std::filesystem::path& folder, const Authority& authority, UnixTime now);
  /// Of what was not finished nothing stays.
  ~StorageRestore();
  StorageRestore(const StorageRestore&) = delete;
  StorageRestore& operator=(const StorageRestore&) = delete;

  /// False when there is one with this number or this key.
  [[nodiscard]] bool add(const StoredMember& member);
  /// Without its services. False when there is one with this name. Its residence must be one that Table::check() takes.
  [[nodiscard]] bool add(const StoredEndpoint& endpoint);
  /// Of an endpoint that was added. False when it has one with this name.
  [[nodiscard]] bool add(const EndpointName& endpoint, const Table::Service& service);

  /// Puts the database in its place. When it throws nothing stays.
  void finish();

 private:
  class Workplace;
  struct Statements;

  std::unique_ptr<Workplace> workplace_;
  std::optional<Storage> storage_;
  std::unique_ptr<Statements> statements_;  // before the database, which they need, is closed
};

}  // namespace sessionfs::sns
