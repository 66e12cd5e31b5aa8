#include "analysis/statistics/power.h"

#include <algorithm>
#include <cmath>

#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/normal.h"

namespace gyges::analysis {
namespace {

// Exact power costs three binomial sums for each number of discordant pairs; beyond this the normal
// formula differs by less than a point.
constexpr std::uint64_t exact_power_limit = 120;

double square(double x) {
  return x * x;
}

double exact_runs_per_arm(double rate1, double rate2, double alpha, double power) {
  double mean = (rate1 + rate2) / 2;
  double spread = normal_quantile(1 - alpha / 2) * std::sqrt(2 * mean * (1 - mean)) +
                  normal_quantile(power) * std::sqrt(rate1 * (1 - rate1) + rate2 * (1 - rate2));
  return square(spread / (rate2 - rate1));
}

double exact_pairs(double rate1, double rate2, double correlation, double alpha, double power) {
  double covariance = correlation * std::sqrt(rate1 * (1 - rate1) * rate2 * (1 - rate2));
  double both = std::clamp(rate1 * rate2 + covariance, std::max(0.0, rate1 + rate2 - 1),
                           std::min(rate1, rate2));
  double discordant = rate1 + rate2 - 2 * both;
  double gap = rate2 - rate1;
  double spread = normal_quantile(1 - alpha / 2) * std::sqrt(discordant) +
                  normal_quantile(power) * std::sqrt(std::max(0.0, discordant - gap * gap));
  return square(spread / gap);
}

// The smallest rise in (0, 1 - base] for which `enough` holds; enough is monotone up to the
// saw-tooth of exact tests.
template <class Enough>
std::optional<double> smallest_rise(double base, Enough enough) {
  double high = 1 - base;
  if (high <= 0 || !enough(high)) return std::nullopt;
  double low = 0;
  for (int i = 0; i < 40; ++i) {
    double middle = (low + high) / 2;
    (enough(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace

std::optional<std::uint64_t> runs_per_arm(double rate1, double rate2, double alpha, double power) {
  if (rate1 == rate2) return std::nullopt;
  return static_cast<std::uint64_t>(std::ceil(exact_runs_per_arm(rate1, rate2, alpha, power)));
}

std::optional<std::uint64_t> pairs_needed(double rate1, double rate2, double correlation,
                                          double alpha, double power) {
  if (rate1 == rate2) return std::nullopt;
  return static_cast<std::uint64_t>(
      std::ceil(exact_pairs(rate1, rate2, correlation, alpha, power)));
}

std::uint64_t runs_per_arm_for_equivalence(double rate, double margin, double alpha, double power) {
  double z = normal_quantile(1 - alpha) + normal_quantile(1 - (1 - power) / 2);
  return static_cast<std::uint64_t>(std::ceil(2 * rate * (1 - rate) * square(z / margin)));
}

std::optional<double> detectable_rise(double base, std::uint64_t runs, double alpha, double power) {
  return smallest_rise(base, [&](double rise) {
    return exact_runs_per_arm(base, base + rise, alpha, power) <= static_cast<double>(runs);
  });
}

std::optional<double> detectable_rise_paired(double base, std::uint64_t pairs, double alpha,
                                             double power) {
  return smallest_rise(base, [&](double rise) {
    double raised = base + rise;
    if (pairs > exact_power_limit)
      return exact_pairs(base, raised, 0, alpha, power) <= static_cast<double>(pairs);
    return mcnemar_power(pairs, base * (1 - raised), raised * (1 - base), alpha) >= power;
  });
}

}  // namespace gyges::analysis
