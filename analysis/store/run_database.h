// What was found in runs as SQLite tables (run_database_schema.h), for questions in SQL and for
// pandas, R and DuckDB. Derived: the bundles are the truth.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "analysis/store/read_runs.h"
#include "base/error.h"
#include "base/sqlite.h"

namespace gyges::analysis {

struct RunDatabase {
  Database database;
  std::uint64_t runs = 0;
  std::vector<ExcludedRun>
      excluded;  // bundles that are unfit, as in a comparison; also in the table
};

// Fills a database in memory, or the new file `file` (written beside it and renamed; a file that
// exists is replaced). That none of the directories has a bundle is an error; that none is fit is
// not.
Result<RunDatabase> build_run_database(const std::vector<std::filesystem::path>& directories,
                                       const ReadOptions& options,
                                       const std::filesystem::path& file = {});

}  // namespace gyges::analysis
