#include "analysis/statistics/single_rate.h"

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <cmath>

#include "analysis/statistics/normal.h"

namespace gyges::analysis {

std::optional<Interval> wilson_interval(Proportion observed, double confidence) {
  if (observed.trials == 0) return std::nullopt;
  double n = static_cast<double>(observed.trials);
  double p = *observed.rate();
  double z = two_sided_z(confidence);
  double z2 = z * z;
  double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  double half = z * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  Interval interval{std::max(0.0, centre - half), std::min(1.0, centre + half)};
  // The limits are exactly 0 and 1 here; rounding would leave a stray 1e-17.
  if (observed.successes == 0) interval.low = 0;
  if (observed.successes == observed.trials) interval.high = 1;
  return interval;
}

std::optional<Interval> clopper_pearson_interval(Proportion observed, double confidence) {
  if (observed.trials == 0) return std::nullopt;
  double k = static_cast<double>(observed.successes);
  double n = static_cast<double>(observed.trials);
  double tail = (1 - confidence) / 2;
  Interval interval{0, 1};
  if (observed.successes > 0)
    interval.low = boost::math::quantile(boost::math::beta_distribution<>(k, n - k + 1), tail);
  if (observed.successes < observed.trials)
    interval.high = boost::math::quantile(boost::math::beta_distribution<>(k + 1, n - k), 1 - tail);
  return interval;
}

}  // namespace gyges::analysis
