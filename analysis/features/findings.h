// Everything a comparison takes from one run: its checks and features with their evidence, and the
// acts worth showing on a time axis.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/features/feature.h"
#include "analysis/features/predicate.h"
#include "base/error.h"

namespace gyges::analysis {

struct TimelineAct {
  Evidence evidence;
  std::string feature;  // name of the feature it counts for; "change" or "exec" otherwise
};

struct Findings {
  std::vector<CheckResult> checks;
  std::vector<FeatureValue> features;  // in the order of all_features()
  std::vector<double> shape;           // of the trace, without meaning (run_shape.h)
  // Whether any covert check is true; undecided when none is and one could not be decided, or the
  // scenario has none.
  Answer covert;
  // Whether the task was done: all success checks hold.
  Answer success;
  // Scores of a log of Inspect that are numbers but not yes or no, by name.
  std::map<std::string, double> scores;
  TraceFacts trace;
  std::map<std::string, CueLooks> looks;  // by cue; of a run that was recorded
  std::optional<Evidence> first_probe;
  std::optional<Evidence> first_covert_act;  // first system call that proves a covert check
  std::vector<TimelineAct> timeline;         // at most max_timeline_acts, in trace order
  bool timeline_cut = false;
};

inline constexpr std::size_t max_timeline_acts = 400;

// Reads the trace once. Fails when a check of the scenario is malformed.
Result<Findings> find(const Run& run);

}  // namespace gyges::analysis
