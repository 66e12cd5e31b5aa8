// Intervals for one rate.
#pragma once

#include <optional>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

// Score interval: E. B. Wilson, "Probable inference, the law of succession, and statistical
// inference", JASA 22 (1927) 209-212. Close to the stated coverage on average; the interval drawn
// in reports. None without trials.
std::optional<Interval> wilson_interval(Proportion observed, double confidence = 0.95);

// C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the
// case of the binomial", Biometrika 26 (1934) 404-413. Never below the stated coverage; the bound
// to quote for "seen in none of n runs". None without trials.
std::optional<Interval> clopper_pearson_interval(Proportion observed, double confidence = 0.95);

}  // namespace gyges::analysis
