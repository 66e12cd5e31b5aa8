// Is the gap larger with the temptation than without? (second - first) with temptation minus
// (second - first) without removes what the cue does to any run, tempted or not.
#pragma once

#include <optional>
#include <vector>

#include "analysis/statistics/family_means.h"
#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

// The four cells: first and second arm, with temptation and in the control arm.
struct TemptedAndControl {
  Proportion tempted_first;
  Proportion tempted_second;
  Proportion control_first;
  Proportion control_second;
};

struct DifferenceInDifferences {
  double value = 0;
  Interval interval;
  double p_value = 1;  // two-sided
};

// Independent runs: the two Newcombe intervals combined by squares of their arms (G. Y. Zou, A.
// Donner, "Construction of confidence limits about effect measures: a general approach", Statistics
// in Medicine 27 (2008) 1693-1702), which has width with zero cells; the p-value is the level at
// which the interval reaches zero. None when a cell is empty.
std::optional<DifferenceInDifferences> difference_in_differences(const TemptedAndControl& cells,
                                                                 double confidence = 0.95);

// The same for each family, and the mean over families with its mid-p sign-flip p-value and t
// interval, widened where it is narrower than without clustering. Families with an empty cell are
// left out; none with fewer than two others.
std::optional<DifferenceInDifferences> difference_in_differences_over_families(
    const std::vector<TemptedAndControl>& families, double confidence = 0.95);

}  // namespace gyges::analysis
