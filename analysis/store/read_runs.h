// Reads many bundles at once, over several threads.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/bundles/find_bundles.h"
#include "analysis/store/findings_store.h"
#include "base/error.h"

namespace gyges::analysis {

struct ReadOptions {
  FindingsStore* store = nullptr;  // borrowed; none: every bundle is hashed and read
  unsigned threads = 0;            // 0: as many as processors, at most 8
  // Called after each bundle with the number read and the number of all; from any thread, but never
  // two at once.
  std::function<void(std::size_t done, std::size_t all)> progress;
};

// One result for each bundle, in their order.
std::vector<std::optional<Result<StoredRun>>> read_runs(const std::vector<FoundBundle>& bundles,
                                                        const ReadOptions& options);

struct ExcludedRun {
  std::filesystem::path bundle;
  std::string reason;
  bool copy = false;  // of a run that is there already
};

}  // namespace gyges::analysis
