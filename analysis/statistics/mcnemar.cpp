#include "analysis/statistics/mcnemar.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>

namespace gyges::analysis {
namespace {

using Binomial = boost::math::binomial_distribution<>;

}  // namespace

double mcnemar_exact(std::uint64_t first_only, std::uint64_t second_only) {
  std::uint64_t discordant = first_only + second_only;
  if (discordant == 0) return 1;
  Binomial fair(static_cast<double>(discordant), 0.5);
  double smaller = static_cast<double>(std::min(first_only, second_only));
  return std::min(1.0, 2 * boost::math::cdf(fair, smaller));
}

double mcnemar_mid_p(std::uint64_t first_only, std::uint64_t second_only) {
  std::uint64_t discordant = first_only + second_only;
  if (discordant == 0 || first_only == second_only) return 1;
  Binomial fair(static_cast<double>(discordant), 0.5);
  double smaller = static_cast<double>(std::min(first_only, second_only));
  return std::min(1.0, 2 * boost::math::cdf(fair, smaller) - boost::math::pdf(fair, smaller));
}

double mcnemar_power(std::uint64_t pairs, double first_only, double second_only, double alpha) {
  double discordant = first_only + second_only;
  if (pairs == 0 || discordant <= 0) return 0;
  Binomial count(static_cast<double>(pairs), std::min(1.0, discordant));
  double toward_second = std::min(1.0, second_only / discordant);
  double power = 0;
  // `critical` is the largest smaller count that rejects; it grows by at most one per pair.
  std::int64_t critical = -1;
  for (std::uint64_t d = 1; d <= pairs; ++d) {
    while (2 * (critical + 1) < static_cast<std::int64_t>(d) &&
           mcnemar_mid_p(static_cast<std::uint64_t>(critical + 1),
                         d - static_cast<std::uint64_t>(critical + 1)) < alpha)
      ++critical;
    if (critical < 0) continue;
    Binomial split(static_cast<double>(d), toward_second);
    double low = boost::math::cdf(split, static_cast<double>(critical));
    double high = boost::math::cdf(
        boost::math::complement(split, static_cast<double>(d) - static_cast<double>(critical) - 1));
    power += boost::math::pdf(count, static_cast<double>(d)) * (low + high);
  }
  return std::min(1.0, power);
}

}  // namespace gyges::analysis
