#include "sns/sqlite.hpp"

#include <stdexcept>

namespace sessionfs::sns {

void fail_sqlite(sqlite3* database) {
  throw std::runtime_error(std::string("the name server's database: ") + sqlite3_errmsg(database));
}

Statement::Statement(sqlite3* database, std::string_view sql) : database_(database) {
  sqlite3_stmt* statement = nullptr;
  check(sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement, nullptr));
  statement_.reset(statement);
}

void Statement::check(int result) const {
  if (result != SQLITE_OK) fail_sqlite(database_);
}

Statement& Statement::bind(std::int64_t value) {
  check(sqlite3_bind_int64(statement_.get(), ++bound_, value));
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  // SQLite takes a null pointer for NULL, and an empty view may hold one.
  const char* data = value.empty() ? "" : value.data();
  check(sqlite3_bind_text(statement_.get(), ++bound_, data, static_cast<int>(value.size()), SQLITE_STATIC));
  return *this;
}

Statement& Statement::bind(std::span<const std::byte> value) {
  const void* data = value.empty() ? static_cast<const void*>("") : value.data();
  check(sqlite3_bind_blob(statement_.get(), ++bound_, data, static_cast<int>(value.size()), SQLITE_STATIC));
  return *this;
}

Statement& Statement::bind_null() {
  check(sqlite3_bind_null(statement_.get(), ++bound_));
  return *this;
}

Statement& Statement::again() {
  sqlite3_reset(statement_.get());  // what it returns was said before
  bound_ = 0;
  return *this;
}

bool Statement::step() {
  const int result = sqlite3_step(statement_.get());
  if (result != SQLITE_ROW && result != SQLITE_DONE) fail_sqlite(database_);
  return result == SQLITE_ROW;
}

int Statement::run() {
  while (step()) {
  }
  return sqlite3_changes(database_);
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::vector<std::byte> Statement::bytes(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, data + sqlite3_column_bytes(statement_.get(), column)};
}

Transaction::Transaction(sqlite3* database) : database_(database), is_part_(sqlite3_get_autocommit(database) == 0) {
  Statement(database_, is_part_ ? "SAVEPOINT part" : "BEGIN IMMEDIATE").run();
}

Transaction::~Transaction() {
  if (!open_) return;
  sqlite3_exec(database_, is_part_ ? "ROLLBACK TO part; RELEASE part" : "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  Statement(database_, is_part_ ? "RELEASE part" : "COMMIT").run();
  open_ = false;
}

}  // namespace sessionfs::sns
