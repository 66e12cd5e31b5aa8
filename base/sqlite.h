// SQLite with errors as values. Not thread-safe; one owner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gyges {

// Bytes that are no text. The view must live until the statement has been run.
struct SqlBlob {
  std::string_view bytes;
};
using SqlValue = std::variant<std::nullptr_t, std::int64_t, double, std::string, SqlBlob>;

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
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] bool is_null(int column) const;
  // "integer", "real", "text", "blob" or "null", of the value in this row.
  [[nodiscard]] std::string_view type(int column) const;
  // Until the next step().
  [[nodiscard]] std::string_view blob(int column) const;
  [[nodiscard]] int columns() const;
  [[nodiscard]] std::string column_name(int column) const;
  // Whether it can only read (sqlite3_stmt_readonly).
  [[nodiscard]] bool reads_only() const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
  struct Deadline;

 public:
  static Result<Database> open(const std::filesystem::path& file);

  static Result<Database> open_read_only(const std::filesystem::path& file);

  Status execute(const char* sql);
  // The first statement of `sql`; what follows it is an error.
  Result<Statement> prepare(const char* sql) const;
  // Only statements that read the database's own tables can be prepared from now on: no writing, no
  // attached files, no pragmas, no extensions. And no statement may take longer than `seconds`.
  Status allow_reading_only(double seconds);
  // Whether what failed last did so because the file is no database, or is damaged.
  [[nodiscard]] bool is_damaged() const;

 private:
  static Result<Database> open(const std::filesystem::path& file, int flags);
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::unique_ptr<sqlite3, Close> database_;
  std::shared_ptr<Deadline> deadline_;
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

}  // namespace gyges
