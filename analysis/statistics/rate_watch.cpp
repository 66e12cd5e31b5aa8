#include "analysis/statistics/rate_watch.h"

#include <boost/math/distributions/beta.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <limits>

namespace gyges::analysis {
namespace {

double log_beta_function(double a, double b) {
  return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
}

double upper_bound(double successes, double trials, double tail) {
  if (trials == 0 || successes == trials) return 1;
  return boost::math::quantile(boost::math::complement(
      boost::math::beta_distribution<>(successes + 1, trials - successes), tail));
}

double log_rise(double k, double n, double bound) {
  if (n == 0 || bound >= 1) return 0;
  double beyond = boost::math::ibetac(k + 1, n - k + 1, bound);
  if (beyond <= 0) return -std::numeric_limits<double>::infinity();
  return log_beta_function(k + 1, n - k + 1) + std::log(beyond) - std::log1p(-bound) -
         k * std::log(bound) - (n - k) * std::log1p(-bound);
}

}  // namespace

double baseline_bound(const Proportion& baseline, Move move, double alpha) {
  double n = static_cast<double>(baseline.trials);
  double k = static_cast<double>(baseline.successes);
  return move == Move::rise ? upper_bound(k, n, alpha / 2) : 1 - upper_bound(n - k, n, alpha / 2);
}

double log_rate_e_value(std::uint64_t successes, std::uint64_t trials, double bound, Move move) {
  double n = static_cast<double>(trials);
  double k = static_cast<double>(successes);
  return move == Move::rise ? log_rise(k, n, bound) : log_rise(n - k, n, 1 - bound);
}

double log_alarm_level(double alpha) {
  return std::log(2 / alpha);
}

}  // namespace gyges::analysis
