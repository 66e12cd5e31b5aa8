#include "analysis/statistics/paired_difference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/statistics/normal.h"

namespace gyges::analysis {
namespace {

// The delta in [from, to] at which the decreasing statistic equals `level`.
double solve(const PairedCounts& counts, double level, double from, double to) {
  for (int i = 0; i < 200 && to - from > 1e-15; ++i) {
    double middle = (from + to) / 2;
    (tango_statistic(counts, middle) > level ? from : to) = middle;
  }
  return (from + to) / 2;
}

}  // namespace

double tango_statistic(const PairedCounts& counts, double delta) {
  double n = static_cast<double>(counts.pairs());
  double for_second = static_cast<double>(counts.second_only);
  double for_first = static_cast<double>(counts.first_only);
  // The constrained estimate of the probability of a pair for the first arm only is the larger root
  // of A q^2 + B q + C = 0.
  double a = 2 * n;
  double b = -for_second - for_first + (2 * n - for_second + for_first) * delta;
  double c = -for_first * delta * (1 - delta);
  double q = (std::sqrt(std::max(0.0, b * b - 4 * a * c)) - b) / (2 * a);
  double numerator = for_second - for_first - n * delta;
  double variance = n * (2 * q + delta * (1 - delta));
  if (variance <= 0) {
    if (numerator == 0) return 0;
    return std::copysign(std::numeric_limits<double>::max(), numerator);
  }
  return numerator / std::sqrt(variance);
}

std::optional<Interval> tango_interval(const PairedCounts& counts, double confidence) {
  if (counts.pairs() == 0) return std::nullopt;
  double z = two_sided_z(confidence);
  double n = static_cast<double>(counts.pairs());
  double difference =
      (static_cast<double>(counts.second_only) - static_cast<double>(counts.first_only)) / n;
  Interval interval{-1, 1};
  if (difference > -1) interval.low = solve(counts, z, -1, difference);
  if (difference < 1) interval.high = solve(counts, -z, difference, 1);
  return interval;
}

}  // namespace gyges::analysis
