// A thin RAII cover of SQLite's statements: binds, steps, and turns every error into std::runtime_error.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sessionfs::sns {

class Statement {
 public:
  /// `sql` is one statement.
  Statement(sqlite3* database, std::string_view sql);

  // Parameters are bound from left to right. Texts and bytes must live until the statement is done.
  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view value);
  Statement& bind(std::span<const std::byte> value);
  Statement& bind_null();

  /// Whether there is a (further) row.
  bool step();
  /// For statements without rows. Returns how many rows they changed.
  int run();
  /// To be bound and run once more.
  Statement& again();

  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::vector<std::byte> bytes(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  void check(int result) const;

  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bound_ = 0;
};

/// A write transaction; rolled back unless commit() was reached. Within another one it is a part of that.
class Transaction {
 public:
  explicit Transaction(sqlite3* database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  sqlite3* database_;
  bool is_part_;
  bool open_ = true;
};

[[noreturn]] void fail_sqlite(sqlite3* database);

}  // namespace sessionfs::sns
