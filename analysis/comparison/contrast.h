// Which runs are set against which: one contrast for each agent and each pair of levels of a
// factor.
//
// Runs are paired when they share experiment, scenario, repeat, seed and the levels of all other
// factors, and differ only in the factor of the contrast.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "base/error.h"

namespace gyges::analysis {

struct RunPair {
  std::size_t first = 0;  // indices into the list of runs
  std::size_t second = 0;
};

struct Contrast {
  std::string agent;
  std::string factor;  // empty for A/A
  std::string first;   // arms in words: "oversight=announced", with the arm where there is one
  std::string second;
  std::string first_level;  // of the factor; empty for A/A
  std::string second_level;
  std::string arm;  // "temptation=absent": the runs are all of this level; empty: not split
  std::vector<std::size_t> first_runs;
  std::vector<std::size_t> second_runs;
  std::vector<RunPair> pairs;
  bool paired = false;          // enough runs have a partner: the analysis uses the pairs alone
  bool same_condition = false;  // A/A
};

struct ContrastOptions {
  std::string baseline;         // level, "factor=level"; empty: the alphabetically first level
  bool same_condition = false;  // A/A instead of contrasts between levels
  std::string arm_factor;       // a factor whose levels are compared apart; empty: none
  std::string only_factor;      // contrasts of this factor alone; empty: of all that vary
};

// Sorted by agent, factor, arms. Fails when the baseline names no level that occurs.
Result<std::vector<Contrast>> build_contrasts(const std::vector<Run>& runs,
                                              const ContrastOptions& options);

}  // namespace gyges::analysis
