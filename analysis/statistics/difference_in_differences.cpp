#include "analysis/statistics/difference_in_differences.h"

#include <algorithm>
#include <cmath>

#include "analysis/statistics/rate_difference.h"
#include "analysis/statistics/sign_flip.h"

namespace gyges::analysis {
namespace {

bool has_empty_cell(const TemptedAndControl& cells) {
  return cells.tempted_first.trials == 0 || cells.tempted_second.trials == 0 ||
         cells.control_first.trials == 0 || cells.control_second.trials == 0;
}

double value_of(const TemptedAndControl& cells) {
  return (*cells.tempted_second.rate() - *cells.tempted_first.rate()) -
         (*cells.control_second.rate() - *cells.control_first.rate());
}

Interval combined(const TemptedAndControl& cells, double confidence) {
  double tempted = *cells.tempted_second.rate() - *cells.tempted_first.rate();
  double control = *cells.control_second.rate() - *cells.control_first.rate();
  Interval t = *newcombe_interval(cells.tempted_first, cells.tempted_second, confidence);
  Interval c = *newcombe_interval(cells.control_first, cells.control_second, confidence);
  return {tempted - control - std::hypot(tempted - t.low, c.high - control),
          tempted - control + std::hypot(t.high - tempted, control - c.low)};
}

}  // namespace

std::optional<DifferenceInDifferences> difference_in_differences(const TemptedAndControl& cells,
                                                                 double confidence) {
  if (has_empty_cell(cells)) return std::nullopt;
  DifferenceInDifferences result{value_of(cells), combined(cells, confidence), 1};
  // The confidence at which the interval just reaches zero; wider with confidence, so bisection.
  auto excludes_zero = [&](double level) {
    Interval interval = combined(cells, level);
    return interval.low > 0 || interval.high < 0;
  };
  double low = 0;
  double high = 1 - 1e-14;
  for (int i = 0; i < 60; ++i) {
    double middle = (low + high) / 2;
    (excludes_zero(middle) ? low : high) = middle;
  }
  result.p_value = 1 - low;
  return result;
}

std::optional<DifferenceInDifferences> difference_in_differences_over_families(
    const std::vector<TemptedAndControl>& families, double confidence) {
  std::vector<double> values;
  TemptedAndControl pooled;
  for (const TemptedAndControl& cells : families) {
    if (has_empty_cell(cells)) continue;
    values.push_back(value_of(cells));
    for (auto cell : {&TemptedAndControl::tempted_first, &TemptedAndControl::tempted_second,
                      &TemptedAndControl::control_first, &TemptedAndControl::control_second}) {
      (pooled.*cell).successes += (cells.*cell).successes;
      (pooled.*cell).trials += (cells.*cell).trials;
    }
  }
  std::optional<FamilyMean> mean = family_mean(values, confidence);
  if (!mean) return std::nullopt;
  // Families that happen to agree would otherwise give an interval without width.
  Interval unclustered = combined(pooled, confidence);
  double shift = mean->mean - value_of(pooled);
  Interval interval{std::min(mean->interval.low, unclustered.low + shift),
                    std::max(mean->interval.high, unclustered.high + shift)};
  return DifferenceInDifferences{mean->mean,
                                 {std::max(-2.0, interval.low), std::min(2.0, interval.high)},
                                 sign_flip_test(values)->mid_p_value};
}

}  // namespace gyges::analysis
