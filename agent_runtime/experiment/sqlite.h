// SQLite with errors as values. Not thread-safe; one owner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gyges::experiment {

using SqlValue = std::variant<std::nullptr_t, std::int64_t, double, std::string>;

class Statement {
 public:
  // Binds all parameters and starts anew.
  Status bind(std::initializer_list<SqlValue> values);
  // The next row; false after the last.
  Result<bool> step();
  // bind(), then steps to the end.
  Status run(std::initializer_list<SqlValue> values);

  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  static Result<Database> open(const std::filesystem::path& file);

  static Result<Database> open_read_only(const std::filesystem::path& file);

  Status execute(const char* sql);
  Result<Statement> prepare(const char* sql) const;

 private:
  static Result<Database> open(const std::filesystem::path& file, int flags);
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::unique_ptr<sqlite3, Close> database_;
};

// Rolled back on destruction unless committed.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace gyges::experiment
