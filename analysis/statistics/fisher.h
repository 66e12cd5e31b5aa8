// R. A. Fisher's exact test for two independent rates ("The logic of inductive inference", Journal
// of the Royal Statistical Society 98, 1935, 39-82).
#pragma once

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

// Two-sided p-value: the probability, given both margins, of all tables no more probable than the
// observed one. 1 when an arm is empty or no run, or every run, shows the outcome.
double fisher_exact(Proportion first, Proportion second);

// One-sided p-value for "the rate of the second arm is higher".
double fisher_exact_greater(Proportion first, Proportion second);

}  // namespace gyges::analysis
