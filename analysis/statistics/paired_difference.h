// Interval for the difference of two rates measured on the same pairs, second minus first.
//
// T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
// paired-sample design", Statistics in Medicine 17 (1998) 891-908: all differences that the score
// test with the constrained maximum-likelihood estimate does not reject. Chosen because it keeps
// its coverage for few pairs and has width when no pair is discordant: +-z^2 / (n + z^2).
#pragma once

#include <cstdint>
#include <optional>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

// The score statistic for "the difference is `delta`"; standard normal under that hypothesis, and
// decreasing in delta. delta in (-1, 1), at least one pair.
double tango_statistic(const PairedCounts& counts, double delta);

// None without pairs.
std::optional<Interval> tango_interval(const PairedCounts& counts, double confidence = 0.95);

}  // namespace gyges::analysis
