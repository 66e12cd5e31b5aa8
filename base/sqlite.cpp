#include "base/sqlite.h"

#include <sqlite3.h>

#include <chrono>

namespace gyges {
namespace {

tl::unexpected<Error> sql_error(const char* step, sqlite3* database) {
  const char* file = database != nullptr ? sqlite3_db_filename(database, "main") : nullptr;
  return fail(step, file != nullptr ? file : "a database",
              database != nullptr ? sqlite3_errmsg(database) : "out of memory");
}

struct Bind {
  sqlite3_stmt* statement;
  int column;
  int operator()(std::nullptr_t) const { return sqlite3_bind_null(statement, column); }
  int operator()(std::int64_t value) const { return sqlite3_bind_int64(statement, column, value); }
  int operator()(double value) const { return sqlite3_bind_double(statement, column, value); }
  int operator()(const std::string& value) const {
    return sqlite3_bind_text(statement, column, value.data(), static_cast<int>(value.size()),
                             SQLITE_TRANSIENT);
  }
  int operator()(const SqlBlob& value) const {
    return sqlite3_bind_blob64(statement, column, value.bytes.data(), value.bytes.size(),
                               SQLITE_STATIC);
  }
};

// Reading the tables of the database, with the functions that SQLite has of its own.
int authorize(void*, int action, const char*, const char* name, const char*, const char*) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      return name != nullptr && sqlite3_stricmp(name, "load_extension") != 0 ? SQLITE_OK
                                                                             : SQLITE_DENY;
    default:
      return SQLITE_DENY;
  }
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Status Statement::bind(std::initializer_list<SqlValue> values) {
  sqlite3_reset(statement_.get());
  int column = 0;
  for (const SqlValue& value : values)
    if (std::visit(Bind{statement_.get(), ++column}, value) != SQLITE_OK)
      return sql_error("bind", sqlite3_db_handle(statement_.get()));
  return ok();
}

Result<bool> Statement::step() {
  int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  return sql_error("query", sqlite3_db_handle(statement_.get()));
}

Status Statement::run(std::initializer_list<SqlValue> values) {
  GYGES_CHECK(bind(values));
  for (bool more = true; more;) {
    GYGES_TRY(more, step());
  }
  return ok();
}

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

std::string_view Statement::type(int column) const {
  switch (sqlite3_column_type(statement_.get(), column)) {
    case SQLITE_INTEGER:
      return "integer";
    case SQLITE_FLOAT:
      return "real";
    case SQLITE_TEXT:
      return "text";
    case SQLITE_BLOB:
      return "blob";
    default:
      return "null";
  }
}

std::string_view Statement::blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

int Statement::columns() const {
  return sqlite3_column_count(statement_.get());
}

std::string Statement::column_name(int column) const {
  const char* name = sqlite3_column_name(statement_.get(), column);
  return name != nullptr ? name : "";
}

bool Statement::reads_only() const {
  return sqlite3_stmt_readonly(statement_.get()) != 0;
}

struct Database::Deadline {
  std::chrono::steady_clock::time_point time;
};

void Database::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

Result<Database> Database::open(const std::filesystem::path& file) {
  return open(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

Result<Database> Database::open_read_only(const std::filesystem::path& file) {
  return open(file, SQLITE_OPEN_READONLY);
}

Result<Database> Database::open(const std::filesystem::path& file, int flags) {
  Database opened;
  sqlite3* raw = nullptr;
  int code = sqlite3_open_v2(file.c_str(), &raw, flags, nullptr);
  opened.database_.reset(raw);
  if (code != SQLITE_OK) {
    // SQLite keeps no name of a file that it could not open; of the reason it has the number.
    const int reason = raw != nullptr ? sqlite3_system_errno(raw) : 0;
    if (reason != 0) return fail_errno("open database", file.string(), reason);
    return fail("open database", file.string(), sqlite3_errstr(code));
  }
  // Others may read the index of a running experiment; their locks are brief.
  sqlite3_busy_timeout(raw, 10'000);
  return opened;
}

Status Database::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return sql_error("query", database_.get());
  return ok();
}

Result<Statement> Database::prepare(const char* sql) const {
  Statement statement;
  sqlite3_stmt* raw = nullptr;
  const char* rest = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql, -1, &raw, &rest) != SQLITE_OK)
    return sql_error("prepare", database_.get());
  statement.statement_.reset(raw);
  if (raw == nullptr) return fail("prepare", sql, "it is no statement");
  if (std::string_view(rest).find_first_not_of(" \t\r\n;") != std::string_view::npos)
    return fail("prepare", rest, "one statement at a time", "leave out what follows the first");
  return statement;
}

Status Database::allow_reading_only(double seconds) {
  deadline_ = std::make_shared<Deadline>();
  deadline_->time = std::chrono::steady_clock::now() +
                    std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                        std::chrono::duration<double>(seconds));
  if (sqlite3_set_authorizer(database_.get(), authorize, nullptr) != SQLITE_OK)
    return sql_error("protect", database_.get());
  sqlite3_progress_handler(
      database_.get(), 100'000,
      [](void* deadline) {
        return std::chrono::steady_clock::now() > static_cast<Deadline*>(deadline)->time ? 1 : 0;
      },
      deadline_.get());
  return ok();
}

bool Database::is_damaged() const {
  if (database_ == nullptr) return false;
  int code = sqlite3_errcode(database_.get()) & 0xff;
  return code == SQLITE_NOTADB || code == SQLITE_CORRUPT;
}

Result<Transaction> Transaction::begin(Database& database) {
  GYGES_CHECK(database.execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  // A rollback that fails leaves the journal, which the next opening rolls back.
  if (database_ != nullptr) static_cast<void>(database_->execute("ROLLBACK"));
}

Status Transaction::commit() {
  GYGES_CHECK(database_->execute("COMMIT"));
  database_ = nullptr;
  return ok();
}

}  // namespace gyges
