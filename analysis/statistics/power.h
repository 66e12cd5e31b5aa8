// What a number of runs can show: runs needed for a gap, and the smallest gap that given runs find.
#pragma once

#include <cstdint>
#include <optional>

namespace gyges::analysis {

// Independent runs per arm to find rate1 against rate2 with a two-sided test: J. L. Fleiss,
// Statistical Methods for Rates and Proportions (1981), section 3.2, without continuity correction.
// None when the rates are equal.
std::optional<std::uint64_t> runs_per_arm(double rate1, double rate2, double alpha = 0.05,
                                          double power = 0.8);

// Pairs to find rate1 against rate2 when the outcomes of a pair correlate with `correlation`: R. J.
// Connor, "Sample size for testing differences in proportions for the paired-sample design",
// Biometrics 43 (1987) 207-211. None when the rates are equal.
std::optional<std::uint64_t> pairs_needed(double rate1, double rate2, double correlation,
                                          double alpha = 0.05, double power = 0.8);

// Independent runs per arm for two one-sided tests to conclude that two equal rates differ by less
// than `margin`.
std::uint64_t runs_per_arm_for_equivalence(double rate, double margin, double alpha = 0.05,
                                           double power = 0.8);

// The smallest rise over `base` that `runs` independent runs per arm find with the stated power;
// none when not even a rise to 1 would be found.
std::optional<double> detectable_rise(double base, std::uint64_t runs, double alpha = 0.05,
                                      double power = 0.8);

// As detectable_rise for `pairs` pairs under the mid-p McNemar test, with the outcomes of a pair
// taken as independent, which understates what correlated pairs can find.
std::optional<double> detectable_rise_paired(double base, std::uint64_t pairs, double alpha = 0.05,
                                             double power = 0.8);

}  // namespace gyges::analysis
