// Figures agreed on by SciPy 1.10, statsmodels 0.13, R 4.2 where they offer the method, and counts
// published with their p-values. Where the reference is a formula, the figure was computed from the
// likelihood by numerical maximisation, independent of the code under test.
#include <gtest/gtest.h>

#include "analysis/statistics/boschloo.h"
#include "analysis/statistics/effect_size.h"
#include "analysis/statistics/equivalence.h"
#include "analysis/statistics/fisher.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/multiplicity.h"
#include "analysis/statistics/normal.h"
#include "analysis/statistics/paired_difference.h"
#include "analysis/statistics/power.h"
#include "analysis/statistics/rate_difference.h"
#include "analysis/statistics/sign_flip.h"
#include "analysis/statistics/single_rate.h"

namespace gyges::analysis {
namespace {

constexpr Proportion few{3, 60};
constexpr Proportion more{12, 60};

TEST(Golden, Wilson) {
  Interval interval = *wilson_interval(few);
  EXPECT_NEAR(interval.low, 0.017149502164395668, 1e-12);
  EXPECT_NEAR(interval.high, 0.1370051647634852, 1e-12);
}

TEST(Golden, ClopperPearson) {
  Interval interval = *clopper_pearson_interval(few);
  EXPECT_NEAR(interval.low, 0.010432329644348225, 1e-12);
  EXPECT_NEAR(interval.high, 0.1392432467210728, 1e-12);
}

TEST(Golden, ZeroEventsNeed59RunsForFivePercent) {
  // One-sided 95 %, as the design's "n = 59 for < 5 %, 299 for < 1 %".
  EXPECT_LT(clopper_pearson_interval({0, 59}, 0.90)->high, 0.05);
  EXPECT_GT(clopper_pearson_interval({0, 58}, 0.90)->high, 0.05);
  EXPECT_LT(clopper_pearson_interval({0, 299}, 0.90)->high, 0.01);
  EXPECT_GT(clopper_pearson_interval({0, 298}, 0.90)->high, 0.01);
}

TEST(Golden, NewcombeDifference) {
  Interval interval = *newcombe_interval(few, more);
  EXPECT_NEAR(interval.low, 0.03063823383799709, 1e-12);
  EXPECT_NEAR(interval.high, 0.2723121008412487, 1e-12);
}

TEST(Golden, McNemar) {
  EXPECT_NEAR(mcnemar_exact(2, 11), 0.0224609375, 1e-12);
  EXPECT_NEAR(mcnemar_mid_p(2, 11), 0.012939453125, 1e-12);
  EXPECT_NEAR(mcnemar_exact(11, 2), 0.0224609375, 1e-12);
}

TEST(Golden, Fisher) {
  EXPECT_NEAR(fisher_exact(few, more), 0.024574599479, 1e-11);
}

TEST(Golden, Boschloo) {
  EXPECT_NEAR(*boschloo_exact(few, more), 0.0157983073304951, 1e-9);
  EXPECT_NEAR(*boschloo_exact(more, few), 0.0157983073304951, 1e-9);
  EXPECT_NEAR(*boschloo_exact({1, 40}, {9, 40}), 0.009684127043773303, 1e-8);
  EXPECT_NEAR(*boschloo_exact({0, 20}, {6, 20}), 0.009741435361987735, 1e-8);
}

TEST(Golden, BoschlooIsNeverAboveFisherOfTwiceTheSmallerTail) {
  for (std::uint64_t a = 0; a <= 12; ++a) {
    for (std::uint64_t b = 0; b <= 15; ++b) {
      Proportion first{a, 12};
      Proportion second{b, 15};
      double doubled = 2 * std::min(fisher_exact_greater(first, second),
                                    fisher_exact_greater({12 - a, 12}, {15 - b, 15}));
      EXPECT_LE(*boschloo_exact(first, second), std::min(1.0, doubled) + 1e-9) << a << " " << b;
    }
  }
}

// Koorndijk 2025, LLaMA-3-8B, free against paid tier.
TEST(Published, FreeAgainstPaidTier) {
  struct Row {
    Proportion free;
    Proportion paid;
    double odds_ratio;
    double p_value;
  };
  for (const Row& row : {Row{{15, 98}, {4, 95}, 4.11144578313253, 0.014046637398926677},
                         Row{{51, 100}, {17, 99}, 5.020408163265306, 5.685120034258278e-07},
                         Row{{16, 99}, {8, 86}, 1.8795180722891567, 0.19268096779408866},
                         Row{{17, 100}, {9, 100}, 2.07095046854083, 0.13997679824089806},
                         Row{{6, 99}, {1, 97}, 6.193548387096774, 0.1184074504558459},
                         Row{{44, 100}, {19, 100}, 3.3496240601503757, 0.00022809710702924955}}) {
    EXPECT_NEAR(odds_ratio(row.paid, row.free)->value, row.odds_ratio, 1e-9);
    EXPECT_NEAR(fisher_exact(row.paid, row.free), row.p_value, 1e-9);
  }
  EXPECT_NEAR(Proportion({51, 100}).rate().value() - Proportion({17, 99}).rate().value(), 0.338,
              5e-4);
}

TEST(Golden, TangoAgainstNumericalMaximumLikelihood) {
  Interval interval = *tango_interval({30, 2, 11, 17});
  EXPECT_NEAR(interval.low, 0.03732300876593564, 1e-7);
  EXPECT_NEAR(interval.high, 0.27369067689359844, 1e-7);
  interval = *tango_interval({0, 1, 12, 7});
  EXPECT_NEAR(interval.low, 0.22672136578549992, 1e-7);
  EXPECT_NEAR(interval.high, 0.7565644730194174, 1e-7);
}

TEST(Golden, TostIndependentAgainstNumericalMaximumLikelihood) {
  // statsmodels 0.13.5 prints 0.0020761 here: it returns the smaller of the two one-sided tests and
  // takes a count for a sample size in the cubic. The larger one decides.
  Equivalence test = *tost_independent({15, 300}, {17, 300}, 0.05);
  EXPECT_NEAR(test.p_lower, 0.0021685659830, 1e-8);
  EXPECT_NEAR(test.p_upper, 0.0133111583543, 1e-8);
  EXPECT_DOUBLE_EQ(test.p_value(), test.p_upper);
}

TEST(Golden, EquivalenceBoundIsWhereTheTestTurns) {
  double bound = *equivalence_bound_independent({15, 300}, {17, 300});
  EXPECT_NEAR(tost_independent({15, 300}, {17, 300}, bound)->p_value(), 0.05, 1e-6);
  PairedCounts counts{3, 4, 5, 48};
  bound = *equivalence_bound_paired(counts);
  EXPECT_NEAR(tost_paired(counts, bound)->p_value(), 0.05, 1e-6);
  // The bound is the far end of the 90 % interval.
  Interval interval = *tango_interval(counts, 0.90);
  EXPECT_NEAR(bound, std::max(-interval.low, interval.high), 1e-6);
}

TEST(Golden, Multiplicity) {
  std::vector<double> p{0.041, 0.001, 0.039, 0.008, 0.042, 0.06, 0.074, 0.205};
  std::vector<double> bh = benjamini_hochberg(p);
  EXPECT_NEAR(bh[1], 0.008, 1e-12);
  EXPECT_NEAR(bh[3], 0.032, 1e-12);
  EXPECT_NEAR(bh[2], 0.0672, 1e-12);
  EXPECT_NEAR(bh[0], 0.0672, 1e-12);
  EXPECT_NEAR(bh[6], 0.074 * 8 / 7, 1e-12);
  EXPECT_NEAR(bh[7], 0.205, 1e-12);
  std::vector<double> family = holm(p);
  EXPECT_NEAR(family[1], 0.008, 1e-12);
  EXPECT_NEAR(family[3], 0.056, 1e-12);
  EXPECT_NEAR(family[2], 0.234, 1e-12);
  EXPECT_NEAR(family[7], 0.234, 1e-12);
}

TEST(Golden, RunsPerArm) {
  EXPECT_EQ(runs_per_arm(0.02, 0.05), 588U);
  EXPECT_EQ(runs_per_arm(0.05, 0.10), 435U);
  EXPECT_EQ(runs_per_arm(0.05, 0.15), 141U);
  EXPECT_EQ(runs_per_arm(0.10, 0.20), 199U);
  EXPECT_EQ(runs_per_arm(0.01, 0.13), 70U);
  EXPECT_EQ(pairs_needed(0.05, 0.10, 0.3), 315U);
  EXPECT_EQ(pairs_needed(0.10, 0.20, 0.3), 146U);
}

TEST(Golden, RunsForEquivalence) {
  EXPECT_EQ(runs_per_arm_for_equivalence(0.05, 0.05), 326U);
  EXPECT_EQ(runs_per_arm_for_equivalence(0.10, 0.05), 617U);
  EXPECT_EQ(runs_per_arm_for_equivalence(0.10, 0.10), 155U);
  EXPECT_EQ(runs_per_arm_for_equivalence(0.02, 0.03), 374U);
}

TEST(Golden, DetectableRiseInvertsRunsPerArm) {
  EXPECT_NEAR(*detectable_rise(0.05, 435), 0.05, 5e-5);
  EXPECT_NEAR(*detectable_rise(0.10, 199), 0.10, 5e-4);
}

TEST(Golden, McNemarPowerByHand) {
  // Five or six discordant pairs reject only when all point one way: mid-p 0.5^5 and 0.5^6.
  EXPECT_NEAR(mcnemar_power(6, 0, 1), 1, 1e-12);
  EXPECT_NEAR(mcnemar_power(6, 0, 0.5), 7.0 / 64, 1e-12);
  EXPECT_NEAR(mcnemar_power(6, 0.5, 0.5), 0.03125, 1e-12);
  EXPECT_EQ(mcnemar_power(4, 0, 1), 0);
}

TEST(Golden, CohensH) {
  EXPECT_NEAR(*cohens_h(few, more), 0.47626840620534977, 1e-12);
}

TEST(Golden, RiskRatio) {
  Ratio ratio = *risk_ratio(few, more);
  EXPECT_NEAR(ratio.value, 4, 1e-12);
  EXPECT_NEAR(ratio.interval.low, 1.1886329347947961, 1e-12);
  EXPECT_FALSE(ratio.half_added);
}

TEST(Golden, SignFlip) {
  EXPECT_NEAR(sign_flip_test({1, 1, 1, 1, 1})->p_value, 2.0 / 32, 1e-12);
  EXPECT_NEAR(sign_flip_test({1, 1, 1, 1, 1})->mid_p_value, 1.0 / 32, 1e-12);
  // Of 16 patterns 2 reach 6 and 6 more reach 4, the observed one among them.
  EXPECT_NEAR(sign_flip_test({3, 1, 1, -1})->p_value, 8.0 / 16, 1e-12);
  EXPECT_NEAR(sign_flip_test({3, 1, 1, -1})->mid_p_value, (8.0 + 2.0) / 2 / 16, 1e-12);
  EXPECT_EQ(sign_flip_test({0, 0, 5, 0})->mid_p_value, 1);
  EXPECT_EQ(sign_flip_test({1, -1})->mid_p_value, 1);
  EXPECT_NEAR(sign_flip_test({1, -1})->p_value, 1, 1e-12);
  EXPECT_NEAR(sign_flip_test({3, 1, 1})->p_value, 2.0 / 8, 1e-12);
}

TEST(Golden, NormalQuantile) {
  EXPECT_NEAR(two_sided_z(0.95), 1.959963984540054, 1e-12);
}

}  // namespace
}  // namespace gyges::analysis
