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

// 1 - X for X of the distribution.
Beta mirrored(const Beta& distribution) {
  return {distribution.beta(), distribution.alpha()};
}

// Integral over [from, to] of the first density times P(second <= x + delta).
double lower_part(const Beta& first, const Beta& second, double delta, double from, double to) {
  thread_local boost::math::quadrature::tanh_sinh<double> integrator(12);
  auto value = [&](double x) {
    double at = x + delta;
    if (x <= 0 || x >= 1 || at <= 0) return 0.0;
    return boost::math::pdf(first, x) * (at >= 1 ? 1.0 : boost::math::cdf(second, at));
  };
  return integrator.integrate(value, from, to, 1e-11);
}

// The same in y = 1 - x, which keeps its digits where x is close to 1.
double upper_part(const Beta& first, const Beta& second, double delta, double from, double to) {
  thread_local boost::math::quadrature::tanh_sinh<double> integrator(12);
  Beta density = mirrored(first);
  Beta other = mirrored(second);
  auto value = [&](double y) {
    double at = y - delta;
    if (y <= 0 || y >= 1 || at >= 1) return 0.0;
    double above = at <= 0 ? 1.0 : boost::math::cdf(boost::math::complement(other, at));
    return boost::math::pdf(density, y) * above;
  };
  return integrator.integrate(value, 1 - to, 1 - from, 1e-11);
}

// P(second - first <= delta). The integral is cut where it may be steep: around the mean of the
// first rate and around that of the second moved by delta. Tails fall like exponentials where
// nothing was seen, so forty standard deviations are kept.
double difference_cdf(const Beta& first, const Beta& second, double delta) {
  double mean = boost::math::mean(first);
  double deviation = boost::math::standard_deviation(first);
  double from = std::max(0.0, mean - 40 * deviation);
  double to = std::min(1.0, mean + 40 * deviation);
  double other = boost::math::mean(second) - delta;
  double spread = 8 * boost::math::standard_deviation(second);
  std::vector<double> cuts{from,           mean - 8 * deviation,
                           mean,           mean + 8 * deviation,
                           other - spread, other,
                           other + spread, -delta,
                           1 - delta,      to};
  std::erase_if(cuts, [&](double cut) { return cut < from || cut > to; });
  std::sort(cuts.begin(), cuts.end());
  double total = 0;
  for (std::size_t i = 1; i < cuts.size(); ++i) {
    if (cuts[i] - cuts[i - 1] < 1e-13) continue;
    total += cuts[i] <= mean ? lower_part(first, second, delta, cuts[i - 1], cuts[i])
                             : upper_part(first, second, delta, cuts[i - 1], cuts[i]);
  }
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
