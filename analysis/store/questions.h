// Questions that are often asked of a store of runs, by name, and how any question is answered.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/sqlite.h"

namespace gyges::analysis {

struct NamedQuestion {
  std::string_view name;
  std::string_view title;
  std::string_view argument;  // what has to be said with it; empty: nothing
  const char* sql;            // the argument is ?1
};

std::span<const NamedQuestion> all_questions();

// A table of texts; what is NULL in the database has none.
struct QueryAnswer {
  struct Cell {
    std::string type;  // "integer", "real", "text", "blob", "null"
    std::string text;  // of a real: the shortest that reads back the same; of a blob: hex
  };
  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows;
};

// Whole or an error: a question that takes longer than the database's limit has no answer.
Result<QueryAnswer> ask(Database& database, const NamedQuestion& question,
                        const std::string& argument);
Result<QueryAnswer> ask_sql(Database& database, const std::string& sql);

// The names of `column` of `table` in order, for messages.
Result<std::vector<std::string>> known_names(Database& database, const char* sql);

}  // namespace gyges::analysis
