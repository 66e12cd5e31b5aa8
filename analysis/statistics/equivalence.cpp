#include "analysis/statistics/equivalence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/statistics/normal.h"
#include "analysis/statistics/paired_difference.h"

namespace gyges::analysis {
namespace {

// The rate of the first arm that is most likely given the counts when the second is higher by
// delta. The log-likelihood is concave, so bisection on its slope finds it; the closed form of the
// cubic loses digits near the ends of the range, which is where rare outcomes live.
double constrained_first_rate(Proportion first, Proportion second, double delta) {
  double x1 = static_cast<double>(first.successes);
  double y1 = static_cast<double>(first.trials) - x1;
  double x2 = static_cast<double>(second.successes);
  double y2 = static_cast<double>(second.trials) - x2;
  auto slope = [&](double p) {
    auto ratio = [](double count, double rate) {
      if (count == 0) return 0.0;
      return rate <= 0 ? std::numeric_limits<double>::infinity() : count / rate;
    };
    return ratio(x1, p) + ratio(x2, p + delta) - ratio(y1, 1 - p) - ratio(y2, 1 - p - delta);
  };
  double low = std::max(0.0, -delta);
  double high = std::min(1.0, 1 - delta);
  for (int i = 0; i < 200 && high - low > 1e-16; ++i) {
    double middle = (low + high) / 2;
    (slope(middle) > 0 ? low : high) = middle;
  }
  return (low + high) / 2;
}

template <class Test>
double smallest_margin(Test p_value_at, double alpha) {
  double low = 0;
  double high = 1;
  for (int i = 0; i < 60; ++i) {
    double middle = (low + high) / 2;
    (p_value_at(middle) < alpha ? high : low) = middle;
  }
  return high;
}

}  // namespace

double miettinen_nurminen_statistic(Proportion first, Proportion second, double delta) {
  double n1 = static_cast<double>(first.trials);
  double n2 = static_cast<double>(second.trials);
  double p1 = constrained_first_rate(first, second, delta);
  double p2 = p1 + delta;
  double variance = (p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2);
  if (n1 + n2 > 1) variance *= (n1 + n2) / (n1 + n2 - 1);
  double numerator = *second.rate() - *first.rate() - delta;
  if (variance <= 1e-30) {
    if (std::fabs(numerator) < 1e-15) return 0;
    return std::copysign(std::numeric_limits<double>::max(), numerator);
  }
  return numerator / std::sqrt(variance);
}

std::optional<Equivalence> tost_independent(Proportion first, Proportion second, double margin) {
  if (first.trials == 0 || second.trials == 0) return std::nullopt;
  return Equivalence{normal_cdf(-miettinen_nurminen_statistic(first, second, -margin)),
                     normal_cdf(miettinen_nurminen_statistic(first, second, margin))};
}

std::optional<Equivalence> tost_paired(const PairedCounts& counts, double margin) {
  if (counts.pairs() == 0) return std::nullopt;
  return Equivalence{normal_cdf(-tango_statistic(counts, -margin)),
                     normal_cdf(tango_statistic(counts, margin))};
}

std::optional<double> equivalence_bound_independent(Proportion first, Proportion second,
                                                    double alpha) {
  if (first.trials == 0 || second.trials == 0) return std::nullopt;
  return smallest_margin(
      [&](double margin) { return tost_independent(first, second, margin)->p_value(); }, alpha);
}

std::optional<double> equivalence_bound_paired(const PairedCounts& counts, double alpha) {
  if (counts.pairs() == 0) return std::nullopt;
  return smallest_margin([&](double margin) { return tost_paired(counts, margin)->p_value(); },
                         alpha);
}

}  // namespace gyges::analysis
