// The SQLite index of an experiment directory (docs/results_store.md): one row for each finished
// run, for pandas, R and DuckDB. Derived: the bundles are the truth, and what does not fit them is
// read from them again.
//
// Not thread-safe; one owner. One process writes at a time, others may read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent_runtime/experiment/directory.h"
#include "agent_runtime/experiment/experiment.h"
#include "agent_runtime/experiment/plan.h"
#include "agent_runtime/experiment/record.h"
#include "base/error.h"

namespace gyges::experiment {

inline constexpr int index_schema_version = 1;

struct IndexRefresh {
  std::size_t added = 0;    // bundles that were read
  std::size_t removed = 0;  // rows without a bundle
  bool rebuilt = false;     // there was no usable index
};

class Index {
 public:
  // Opens DIR/index.sqlite and makes it agree with the bundles, the plan and the failed attempts.
  // A missing or damaged index, or one of another experiment or version, is made anew.
  static Result<Index> open(const std::filesystem::path& directory, const Record& record,
                            const Experiment& experiment, const std::vector<Slot>& plan,
                            IndexRefresh* refresh = nullptr);
  Index(Index&&) noexcept;
  Index& operator=(Index&&) noexcept;
  ~Index();

  // Adds a run from its bundle under runs/, in one transaction.
  Status add_run(const std::string& slot);
  Status add_attempt(const FailedAttempt& attempt);

  // How runs ended, by exit kind, for `gyges experiment status`.
  struct ExitCount {
    std::string condition;
    std::string exit_kind;
    std::uint64_t runs = 0;
    std::uint64_t lost = 0;  // events lost in them
  };
  // From the index as it stands, which a runner may be writing; none where there is no index.
  static Result<std::vector<ExitCount>> exit_counts(const std::filesystem::path& directory);

 private:
  struct State;
  explicit Index(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gyges::experiment
