// Interval for the difference of two independent rates, second minus first.
#pragma once

#include <optional>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

// R. G. Newcombe, "Interval estimation for the difference between independent proportions",
// Statistics in Medicine 17 (1998) 873-890, method 10: the Wilson limits of both rates, squared and
// added. Stays inside [-1, 1] and has width with zero cells. None when an arm has no trials.
std::optional<Interval> newcombe_interval(Proportion first, Proportion second,
                                          double confidence = 0.95);

}  // namespace gyges::analysis
