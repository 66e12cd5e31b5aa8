// Writes runs as logs of Inspect (.eval, EvalLog version 2), which Inspect View, `inspect log` and
// Scout open. docs/interchange.md says what goes where.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "analysis/store/read_runs.h"
#include "base/error.h"

namespace gyges::analysis {

struct InspectExport {
  std::vector<std::filesystem::path> files;
  std::size_t samples = 0;
};

struct InspectExportOptions {
  // System calls shown one by one in the span of each tool call; all are counted, and the trace is
  // named with its hash.
  std::size_t syscalls_of_a_call = 200;
};

// One log for each experiment, scenario, agent and condition, below `directory`, which is made.
// Runs without a transcript (of `gyges run`) cannot be told as samples and are an error.
Result<InspectExport> export_inspect(const std::vector<StoredRun>& runs,
                                     const std::filesystem::path& directory,
                                     const InspectExportOptions& options = {});

}  // namespace gyges::analysis
