// What a few runs say about two rates, as a posterior distribution: T. Bayes (1763) with beta
// priors; for language-model evaluations of a few hundred runs and fewer recommended by S. Bowyer,
// L. Aitchison, D. R. Ivanova, "Don't use the CLT in LLM evals with fewer than a few hundred
// datapoints" (2025). Needs independent arms, and no clustering.
#pragma once

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

// Beta(a, b), the same for both arms; both > 0. {1, 1} is uniform, {0.5, 0.5} Jeffreys's.
struct BetaPrior {
  double a = 1;
  double b = 1;
};

struct RateDifferencePosterior {
  double mean = 0;           // of second rate minus first
  Interval credible;         // equal tails
  double second_higher = 0;  // probability that the second rate is higher
};

// Always answers: an empty arm has its prior for posterior. confidence in (0, 1). By numerical
// integration; errors are below 1e-9 up to 100,000 runs.
RateDifferencePosterior rate_difference_posterior(Proportion first, Proportion second,
                                                  BetaPrior prior = {}, double confidence = 0.95);

}  // namespace gyges::analysis
