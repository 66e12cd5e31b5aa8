#include "analysis/statistics/required_runs.h"

#include <algorithm>
#include <cmath>

#include "analysis/statistics/normal.h"

namespace gyges::analysis {
namespace {

constexpr std::uint64_t seed = 20261128;
constexpr std::size_t most_families = 24;

// Each test costs more with more families (2^(n/2) steps), each study with more pairs.
std::uint64_t studies_for(const StudyDesign& design) {
  return design.families > 20 || design.pairs() > 20000 ? 300 : 1000;
}

double power_of(const StudyDesign& design, double alpha) {
  return simulated_power(design, studies_for(design), seed, alpha);
}

// Smallest value in [1, most] for which `enough` holds: doubling, then bisection. Power rises with
// the number up to the saw-tooth of exact tests and the noise of simulation.
template <class Enough>
std::optional<std::size_t> smallest(std::size_t start, std::size_t most, Enough enough) {
  std::size_t high = std::max<std::size_t>(1, start);
  std::size_t low = 0;
  while (!enough(high)) {
    if (high == most) return std::nullopt;
    low = high;
    high = std::min(most, high * 2);
  }
  while (high - low > std::max<std::size_t>(1, high / 50)) {
    std::size_t middle = (low + high) / 2;
    (enough(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace

RequiredRuns required_runs(const StudyDesign& design, double power, double alpha,
                           std::optional<double> margin) {
  RequiredRuns needed;
  needed.power = power_of(design, alpha);
  StudyDesign with = design;
  needed.repeats = smallest(1, most_repeats, [&](std::size_t repeats) {
    with.repeats = repeats;
    // Where differences between families set the limit, more repeats stop helping early.
    return with.pairs() <= 200000 && power_of(with, alpha) >= power;
  });
  with = design;
  needed.families = smallest(1, most_families, [&](std::size_t families) {
    with.families = families;
    return power_of(with, alpha) >= power;
  });
  if (margin) {
    double rate = design.first_rate;
    double z = normal_quantile(0.95) + normal_quantile(1 - (1 - power) / 2);
    needed.pairs_for_margin =
        static_cast<std::uint64_t>(std::ceil(2 * rate * (1 - rate) * std::pow(z / *margin, 2)));
  }
  return needed;
}

}  // namespace gyges::analysis
