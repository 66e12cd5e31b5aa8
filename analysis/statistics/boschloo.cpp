#include "analysis/statistics/boschloo.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "analysis/statistics/fisher.h"

namespace gyges::analysis {
namespace {

std::vector<double> log_binomials(std::uint64_t n) {
  std::vector<double> values(n + 1);
  double total = std::lgamma(static_cast<double>(n) + 1);
  for (std::uint64_t k = 0; k <= n; ++k)
    values[k] = total - std::lgamma(static_cast<double>(k) + 1) -
                std::lgamma(static_cast<double>(n - k) + 1);
  return values;
}

// The tail of tables at least as extreme as the observed one: for each count of the first arm, the
// smallest count of the second arm that belongs to it. Fisher's p-value falls as the second count
// rises and grows with the first, so the boundary never moves back.
class Tail {
 public:
  Tail(Proportion first, Proportion second)
      : choose_first_(log_binomials(first.trials)), choose_second_(log_binomials(second.trials)) {
    double observed = fisher_exact_greater(first, second) * (1 + 1e-7);
    std::uint64_t from = 0;
    for (std::uint64_t x = 0; x <= first.trials; ++x) {
      while (from <= second.trials &&
             fisher_exact_greater({x, first.trials}, {from, second.trials}) > observed)
        ++from;
      from_.push_back(from);
    }
  }

  // Probability of the tail when both arms have rate `rate`.
  [[nodiscard]] double probability(double rate) const {
    double up = std::log(rate);
    double down = std::log1p(-rate);
    auto mass = [&](const std::vector<double>& choose, std::uint64_t k) {
      double n = static_cast<double>(choose.size() - 1);
      return std::exp(choose[k] + static_cast<double>(k) * up +
                      (n - static_cast<double>(k)) * down);
    };
    std::vector<double> upper(choose_second_.size() + 1, 0.0);
    for (std::size_t k = choose_second_.size(); k-- > 0;)
      upper[k] = upper[k + 1] + mass(choose_second_, k);
    double total = 0;
    for (std::uint64_t x = 0; x < from_.size(); ++x)
      if (from_[x] < upper.size()) total += mass(choose_first_, x) * upper[from_[x]];
    return total;
  }

 private:
  std::vector<double> choose_first_;
  std::vector<double> choose_second_;
  std::vector<std::uint64_t> from_;
};

double one_sided(Proportion first, Proportion second) {
  Tail tail(first, second);
  constexpr int steps = 200;
  // Rates near 0 and 1 carry sharp maxima for rare outcomes: the grid is even in the arcsine scale.
  auto rate_at = [](double position) {
    double sine = std::sin(position * 1.5707963267948966);
    return std::clamp(sine * sine, 1e-12, 1 - 1e-12);
  };
  std::vector<double> values;
  for (int i = 0; i <= steps; ++i) values.push_back(tail.probability(rate_at(i * 1.0 / steps)));
  double best = *std::max_element(values.begin(), values.end());
  for (int i = 1; i < steps; ++i) {
    // A maximum between grid points exceeds them by a few percent at most.
    if (values[i] < values[i - 1] || values[i] < values[i + 1] || values[i] < 0.8 * best) continue;
    double low = (i - 1) * 1.0 / steps;
    double high = (i + 1) * 1.0 / steps;
    for (int round = 0; round < 60; ++round) {
      double third = (high - low) / 3;
      if (tail.probability(rate_at(low + third)) < tail.probability(rate_at(high - third)))
        low += third;
      else
        high -= third;
    }
    best = std::max(best, tail.probability(rate_at((low + high) / 2)));
  }
  return best;
}

}  // namespace

std::optional<double> boschloo_exact(Proportion first, Proportion second) {
  if (first.trials == 0 || second.trials == 0) return 1;
  if (first.trials > boschloo_max_trials || second.trials > boschloo_max_trials)
    return std::nullopt;
  double higher = one_sided(first, second);
  // "Lower" is "higher" with the arms exchanged.
  double lower = one_sided(second, first);
  return std::min(1.0, 2 * std::min(higher, lower));
}

}  // namespace gyges::analysis
