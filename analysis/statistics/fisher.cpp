#include "analysis/statistics/fisher.h"

#include <algorithm>
#include <cmath>

namespace gyges::analysis {
namespace {

double log_choose(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

// Probability of `second` successes in the second arm given both margins. Through lgamma rather
// than Boost's hypergeometric, whose factorial path is slow in the inner loop of Boschloo's test;
// the tests hold both to the same figures.
struct Hypergeometric {
  double n1;
  double n2;
  double successes;
  double norm;

  Hypergeometric(Proportion first, Proportion second)
      : n1(static_cast<double>(first.trials)),
        n2(static_cast<double>(second.trials)),
        successes(static_cast<double>(first.successes + second.successes)),
        norm(log_choose(n1 + n2, successes)) {}

  [[nodiscard]] double lowest() const { return std::max(0.0, successes - n1); }
  [[nodiscard]] double highest() const { return std::min(n2, successes); }
  [[nodiscard]] double probability(double second) const {
    return std::exp(log_choose(n1, successes - second) + log_choose(n2, second) - norm);
  }
};

}  // namespace

double fisher_exact(Proportion first, Proportion second) {
  if (first.trials == 0 || second.trials == 0) return 1;
  Hypergeometric tables(first, second);
  // Tables of equal probability must count as equal over rounding; 1e-7 is the customary margin.
  double threshold = tables.probability(static_cast<double>(second.successes)) * (1 + 1e-7);
  double total = 0;
  for (double k = tables.lowest(); k <= tables.highest(); ++k) {
    double probability = tables.probability(k);
    if (probability <= threshold) total += probability;
  }
  return std::min(1.0, total);
}

double fisher_exact_greater(Proportion first, Proportion second) {
  if (first.trials == 0 || second.trials == 0) return 1;
  Hypergeometric tables(first, second);
  double total = 0;
  for (double k = static_cast<double>(second.successes); k <= tables.highest(); ++k)
    total += tables.probability(k);
  return std::min(1.0, total);
}

}  // namespace gyges::analysis
