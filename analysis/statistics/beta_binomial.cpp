#include "analysis/statistics/beta_binomial.h"

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <boost/math/quadrature/tanh_sinh.hpp>
#include <cmath>
#include <vector>

namespace gyges::analysis {
namespace {

using Beta = boost::math::beta_distribution<>;

Beta posterior(Proportion arm, BetaPrior prior) {
  return {prior.a + static_cast<double>(arm.successes),
          prior.b + static_cast<double>(arm.trials - arm.successes)};
}

// P(second - first <= delta). The integrand is split where it may be steep, at the mean of the
// first rate and at that of the second moved by delta; twelve standard deviations hold all but
// 1e-12 of the mass, or the whole range where the distribution is wide.
double difference_cdf(const Beta& first, const Beta& second, double delta) {
  thread_local boost::math::quadrature::tanh_sinh<double> integrator(10);
  auto value = [&](double x) {
    if (x <= 0 || x >= 1) return 0.0;
    double at = x + delta;
    if (at <= 0) return 0.0;
    double below = at >= 1 ? 1.0 : boost::math::cdf(second, at);
    return boost::math::pdf(first, x) * below;
  };
  double mean = boost::math::mean(first);
  double reach = 12 * boost::math::standard_deviation(first);
  double from = std::max(0.0, mean - reach);
  double to = std::min(1.0, mean + reach);
  double other = boost::math::mean(second) - delta;
  double spread = 12 * boost::math::standard_deviation(second);
  std::vector<double> cuts{from,           mean,   other - spread, other,
                           other + spread, -delta, 1 - delta,      to};
  std::erase_if(cuts, [&](double cut) { return cut < from || cut > to; });
  std::sort(cuts.begin(), cuts.end());
  double total = 0;
  for (std::size_t i = 1; i < cuts.size(); ++i)
    if (cuts[i] - cuts[i - 1] > 1e-13)
      total += integrator.integrate(value, cuts[i - 1], cuts[i], 1e-11);
  return std::clamp(total, 0.0, 1.0);
}

// False position with the Illinois rule: the function rises and is costly.
double difference_quantile(const Beta& first, const Beta& second, double probability) {
  double low = -1;
  double high = 1;
  double below = -probability;
  double above = 1 - probability;
  for (int i = 0; i < 100 && high - low > 1e-12; ++i) {
    double at = i < 4 ? (low + high) / 2 : (low * above - high * below) / (above - below);
    double value = difference_cdf(first, second, at) - probability;
    if (std::fabs(value) < 1e-12) return at;
    if (value < 0) {
      low = at;
      below = value;
      above /= 2;
    } else {
      high = at;
      above = value;
      below /= 2;
    }
  }
  return (low + high) / 2;
}

}  // namespace

RateDifferencePosterior rate_difference_posterior(Proportion first, Proportion second,
                                                  BetaPrior prior, double confidence) {
  Beta p1 = posterior(first, prior);
  Beta p2 = posterior(second, prior);
  RateDifferencePosterior result;
  result.mean = boost::math::mean(p2) - boost::math::mean(p1);
  double tail = (1 - confidence) / 2;
  result.credible = {difference_quantile(p1, p2, tail), difference_quantile(p1, p2, 1 - tail)};
  result.second_higher = 1 - difference_cdf(p1, p2, 0);
  return result;
}

}  // namespace gyges::analysis
