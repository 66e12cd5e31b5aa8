#include "analysis/statistics/effect_size.h"

#include <cmath>

#include "analysis/statistics/normal.h"

namespace gyges::analysis {
namespace {

// The four cells of the table, with 1/2 added to each when one is zero.
struct Cells {
  double yes1;
  double no1;
  double yes2;
  double no2;
  bool half_added;

  Cells(Proportion first, Proportion second)
      : yes1(static_cast<double>(first.successes)),
        no1(static_cast<double>(first.trials - first.successes)),
        yes2(static_cast<double>(second.successes)),
        no2(static_cast<double>(second.trials - second.successes)),
        half_added(yes1 == 0 || no1 == 0 || yes2 == 0 || no2 == 0) {
    if (!half_added) return;
    for (double* cell : {&yes1, &no1, &yes2, &no2}) *cell += 0.5;
  }
};

Ratio around(double log_ratio, double variance, double confidence, bool half_added) {
  double half = two_sided_z(confidence) * std::sqrt(variance);
  return {
      std::exp(log_ratio), {std::exp(log_ratio - half), std::exp(log_ratio + half)}, half_added};
}

}  // namespace

std::optional<Ratio> odds_ratio(Proportion first, Proportion second, double confidence) {
  if (first.trials == 0 || second.trials == 0) return std::nullopt;
  Cells c(first, second);
  return around(std::log(c.yes2 * c.no1 / (c.no2 * c.yes1)),
                1 / c.yes1 + 1 / c.no1 + 1 / c.yes2 + 1 / c.no2, confidence, c.half_added);
}

std::optional<Ratio> risk_ratio(Proportion first, Proportion second, double confidence) {
  if (first.trials == 0 || second.trials == 0) return std::nullopt;
  Cells c(first, second);
  double n1 = c.yes1 + c.no1;
  double n2 = c.yes2 + c.no2;
  return around(std::log((c.yes2 / n2) / (c.yes1 / n1)), 1 / c.yes1 - 1 / n1 + 1 / c.yes2 - 1 / n2,
                confidence, c.half_added);
}

std::optional<double> cohens_h(Proportion first, Proportion second) {
  if (first.trials == 0 || second.trials == 0) return std::nullopt;
  return 2 * std::asin(std::sqrt(*second.rate())) - 2 * std::asin(std::sqrt(*first.rate()));
}

}  // namespace gyges::analysis
