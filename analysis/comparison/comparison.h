// The comparison of runs between conditions: from directories with bundles to everything a report
// shows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/comparison/certificate.h"
#include "analysis/comparison/contrast.h"
#include "analysis/comparison/factor_effects.h"
#include "analysis/comparison/measure.h"
#include "analysis/comparison/outcome.h"
#include "analysis/comparison/registered.h"
#include "analysis/comparison/temptation.h"
#include "analysis/comparison/whole_runs.h"
#include "analysis/features/findings.h"
#include "analysis/store/read_runs.h"
#include "base/error.h"

namespace gyges::analysis {

// What may take the place of a factor: two agents, two experiments (before and after a change of
// protocol, or a stored baseline and now), two models, two policies.
enum class Between : std::uint8_t { levels, agents, experiments, models, policies };

struct CompareOptions {
  ContrastOptions contrast;
  Between between = Between::levels;
  bool allow_undeclared = false;  // compare in spite of undeclared differences, and say so
  FindingsStore* store = nullptr;  // borrowed; none: every bundle is hashed and read
  unsigned threads = 0;           // that read bundles; 0: as many as processors, at most 8
  // Called after each bundle with the number read and the number of all; from any thread, but never
  // two at once.
  std::function<void(std::size_t done, std::size_t all)> progress;
};

struct Comparison {
  std::size_t found = 0;  // bundles
  std::vector<ExcludedRun> excluded;
  Registered registered;           // what was written down before the first run
  std::vector<Run> runs;           // analysed
  std::vector<Findings> findings;  // of each run
  std::vector<Contrast> contrasts;
  std::vector<Certificate> certificates;  // of each contrast
  std::vector<OutcomeComparison> outcomes;
  std::vector<MeasureComparison> measures;
  std::vector<WholeRunComparison> whole_runs;  // of each contrast that is not refused
  std::vector<FactorEffect> factor_effects;    // of the primary outcomes
  std::vector<TemptationEffect> temptation;    // where arms are registered
  std::vector<std::string> notes;  // what a reader must know: losses, undeclared differences, ...
};

// An unfit bundle is excluded with its reason; that none is left, or that a named directory has
// none, is an error.
Result<Comparison> compare(const std::vector<std::filesystem::path>& directories,
                           const CompareOptions& options);

}  // namespace gyges::analysis
