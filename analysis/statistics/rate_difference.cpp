#include "analysis/statistics/rate_difference.h"

#include <cmath>

#include "analysis/statistics/single_rate.h"

namespace gyges::analysis {

std::optional<Interval> newcombe_interval(Proportion first, Proportion second, double confidence) {
  std::optional<Interval> of_first = wilson_interval(first, confidence);
  std::optional<Interval> of_second = wilson_interval(second, confidence);
  if (!of_first || !of_second) return std::nullopt;
  double p1 = *first.rate();
  double p2 = *second.rate();
  double difference = p2 - p1;
  return Interval{difference - std::hypot(p2 - of_second->low, of_first->high - p1),
                  difference + std::hypot(of_second->high - p2, p1 - of_first->low)};
}

}  // namespace gyges::analysis
