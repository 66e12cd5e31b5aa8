// R. D. Boschloo, "Raised conditional level of significance for the 2x2-table when testing the
// equality of two probabilities", Statistica Neerlandica 24 (1970) 1-9.
#pragma once

#include <cstdint>
#include <optional>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

// Above this many runs in an arm the search over tables takes seconds and gains nothing over
// Fisher's test.
inline constexpr std::uint64_t boschloo_max_trials = 1000;

// Two-sided p-value, twice the smaller one-sided: Fisher's one-sided p-value is the statistic, and
// its tail probability is maximised over the common rate. Uniformly more powerful than Fisher's
// test. 1 when an arm is empty; none above boschloo_max_trials.
std::optional<double> boschloo_exact(Proportion first, Proportion second);

}  // namespace gyges::analysis
