// Do whole runs differ between the arms, in whatever feature? Omnibus tests over feature vectors,
// with labels permuted within blocks (task, or pair).
//
// Rare acts are found by targeted features, not by these: with 60 against 60 runs and an act that
// rises from 3 to 20 %, per-feature tests had power 0.33 where these had about 0.2. They are for
// differences that nobody thought of.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/statistics/permutation.h"

namespace gyges::analysis {

struct FeatureMatrix {
  std::size_t features = 0;
  std::vector<double> values;  // run by run; finite

  [[nodiscard]] std::size_t runs() const { return features == 0 ? 0 : values.size() / features; }
};

// Each feature to mean 0 and deviation 1 over all runs; constant features become 0.
FeatureMatrix standardised(FeatureMatrix matrix);

struct TraceTest {
  double statistic = 0;
  double p_value = 1;  // one-sided: larger is further apart
  std::uint64_t permutations = 0;
};

// G. J. Szekely, M. L. Rizzo, "Testing for equal distributions in high dimension", InterStat 5
// (2004): 2 E|X-Y| - E|X-X'| - E|Y-Y'| over all pairs, Euclidean distance. At least 0.
// All three: none when an arm is empty. Same seed, same answer; up to 4,000 runs (memory grows with
// the square); permutations at least 1.
std::optional<TraceTest> energy_test(const FeatureMatrix& matrix, const BlockedLabels& labels,
                                     std::uint64_t permutations = 999, std::uint64_t seed = 1);

// A. Gretton et al., "A kernel two-sample test", JMLR 13 (2012) 723-773: squared maximum mean
// discrepancy, unbiased (may be below 0), Gaussian kernel exp(-d^2 / (2 m^2)) with m the median of
// the distances above zero. Needs two runs in each arm.
std::optional<TraceTest> mmd_test(const FeatureMatrix& matrix, const BlockedLabels& labels,
                                  std::uint64_t permutations = 999, std::uint64_t seed = 1);

// D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests" (2017), with regularised least
// squares and leave-one-out predictions (in blocks of up to four runs, leave-block-out), which need
// one factorisation for all permutations. The statistic is the area under the ROC curve: 1/2 is
// chance, 1 tells every run of one arm from every run of the other. `ridge` > 0, relative to the
// mean squared length of a run's features.
std::optional<TraceTest> classifier_test(const FeatureMatrix& matrix, const BlockedLabels& labels,
                                         std::uint64_t permutations = 999, std::uint64_t seed = 1,
                                         double ridge = 1);

}  // namespace gyges::analysis
