// The gap among tempted runs set against the gap in the control arm: what remains is not what the
// cue does to any run (statistics/difference_in_differences.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/comparison/contrast.h"
#include "analysis/comparison/outcome.h"
#include "analysis/statistics/difference_in_differences.h"

namespace gyges::analysis {

struct TemptationEffect {
  std::size_t tempted = 0;  // indices into the list of contrasts
  std::size_t control = 0;
  std::string outcome;
  std::string method;
  std::size_t families = 0;
  std::optional<DifferenceInDifferences> effect;  // none when a cell has no decided run
};

// One for each contrast of the tempted arm that has its like in the control arm. Over families with
// six of them or more; below, from all runs as independent, which is cautious for pairs.
std::vector<TemptationEffect> temptation_effects(const std::vector<Run>& runs,
                                                 const std::vector<Contrast>& contrasts,
                                                 const std::string& tempted_arm,
                                                 const std::string& control_arm,
                                                 const OutcomeColumn& column,
                                                 const std::string& outcome);

}  // namespace gyges::analysis
