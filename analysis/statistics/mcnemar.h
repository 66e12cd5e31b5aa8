// McNemar's test: did paired runs change more often in one direction than in the other?
//
// Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
// percentages", Psychometrika 12 (1947) 153-157, with exact binomial probabilities. Only the
// discordant pairs count. Without any the p-value is 1: the data say nothing against equality.
#pragma once

#include <cstdint>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

// Two-sided exact conditional p-value.
double mcnemar_exact(std::uint64_t first_only, std::uint64_t second_only);

// As mcnemar_exact with half the probability of the observed table (M. W. Fagerland, S. Lydersen,
// P. Laake, BMC Medical Research Methodology 13:91, 2013): less conservative, not strictly exact.
double mcnemar_mid_p(std::uint64_t first_only, std::uint64_t second_only);

// Probability that mcnemar_mid_p is below `alpha` for `pairs` pairs when a pair is discordant in
// favour of the first arm with probability `first_only`, of the second with `second_only`.
double mcnemar_power(std::uint64_t pairs, double first_only, double second_only,
                     double alpha = 0.05);

}  // namespace gyges::analysis
