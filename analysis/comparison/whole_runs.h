// Do runs differ between the arms of a contrast in anything that the features measure? The omnibus
// tests of trace_tests.h over all features of a run, labels permuted within pairs or scenarios.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/comparison/contrast.h"
#include "analysis/features/findings.h"
#include "analysis/statistics/trace_tests.h"

namespace gyges::analysis {

struct WholeRunComparison {
  std::size_t contrast = 0;
  std::uint64_t runs = 0;
  std::string blocks;  // "pairs", "scenarios"
  std::optional<TraceTest> energy;
  std::optional<TraceTest> mmd;
  std::optional<TraceTest> classifier;  // its statistic is the area under the curve
  std::string problem;                  // why there is no test; empty where there is
};

// The shape has triples of system calls and the process tree (features/run_shape.h).
// Features that could not be decided in a run count as absent there (0); every count and duration
// enters as its logarithm, log(1 + x). Above 1,000 runs the tests are left out, and say so.
WholeRunComparison compare_whole_runs(const std::vector<Run>& runs,
                                      const std::vector<Findings>& findings,
                                      const Contrast& contrast);

}  // namespace gyges::analysis
