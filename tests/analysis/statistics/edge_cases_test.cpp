// Empty arms, one run, zero cells: every method answers something stated, and never NaN.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "analysis/statistics/boschloo.h"
#include "analysis/statistics/effect_size.h"
#include "analysis/statistics/equivalence.h"
#include "analysis/statistics/fisher.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/multiplicity.h"
#include "analysis/statistics/paired_difference.h"
#include "analysis/statistics/power.h"
#include "analysis/statistics/rate_difference.h"
#include "analysis/statistics/sign_flip.h"
#include "analysis/statistics/single_rate.h"

namespace gyges::analysis {
namespace {

constexpr Proportion empty{0, 0};
constexpr Proportion one_yes{1, 1};

TEST(EdgeCases, EmptyArmsHaveNoFigure) {
  EXPECT_FALSE(empty.rate());
  EXPECT_FALSE(wilson_interval(empty));
  EXPECT_FALSE(clopper_pearson_interval(empty));
  EXPECT_FALSE(newcombe_interval(empty, one_yes));
  EXPECT_FALSE(newcombe_interval(one_yes, empty));
  EXPECT_FALSE(tango_interval({}));
  EXPECT_FALSE(odds_ratio(empty, one_yes));
  EXPECT_FALSE(risk_ratio(one_yes, empty));
  EXPECT_FALSE(cohens_h(empty, empty));
  EXPECT_FALSE(tost_independent(empty, one_yes, 0.1));
  EXPECT_FALSE(tost_paired({}, 0.1));
  EXPECT_FALSE(equivalence_bound_independent(empty, one_yes));
  EXPECT_FALSE(equivalence_bound_paired({}));
  EXPECT_FALSE(sign_flip_test({}));
  EXPECT_FALSE(sign_flip_test({0.5}));
  EXPECT_EQ(fisher_exact(empty, one_yes), 1);
  EXPECT_EQ(boschloo_exact(empty, one_yes), 1);
  EXPECT_EQ(mcnemar_exact(0, 0), 1);
  EXPECT_EQ(mcnemar_mid_p(0, 0), 1);
  EXPECT_TRUE(benjamini_hochberg({}).empty());
  EXPECT_TRUE(holm({}).empty());
}

TEST(EdgeCases, NoDiscordantPairStillHasWidth) {
  Interval interval = *tango_interval({0, 0, 0, 20});
  double z2 = 1.959963984540054 * 1.959963984540054;
  EXPECT_NEAR(interval.high, z2 / (20 + z2), 1e-9);
  EXPECT_NEAR(interval.low, -z2 / (20 + z2), 1e-9);
}

TEST(EdgeCases, EveryPairChanged) {
  Interval interval = *tango_interval({0, 0, 10, 0});
  EXPECT_EQ(interval.high, 1);
  // All ten pairs changed: the score equation becomes n (1 - d) / (1 + d) = z^2.
  EXPECT_NEAR(interval.low, 0.444934400274, 1e-9);
  interval = *tango_interval({0, 10, 0, 0});
  EXPECT_EQ(interval.low, -1);
}

TEST(EdgeCases, FewerThanFivePairsCannotReject) {
  EXPECT_GT(mcnemar_mid_p(0, 4), 0.05);
  EXPECT_LT(mcnemar_mid_p(0, 5), 0.05);
  EXPECT_GT(mcnemar_exact(0, 5), 0.05);
  EXPECT_LT(mcnemar_exact(0, 6), 0.05);
}

TEST(EdgeCases, ZeroCellsAreMarkedInRatios) {
  EXPECT_TRUE(odds_ratio({0, 10}, {5, 10})->half_added);
  EXPECT_TRUE(risk_ratio({0, 10}, {0, 10})->half_added);
  EXPECT_NEAR(risk_ratio({0, 10}, {0, 10})->value, 1, 1e-12);
}

TEST(EdgeCases, NothingDetectableIsSaid) {
  EXPECT_FALSE(detectable_rise_paired(0, 4));
  EXPECT_FALSE(detectable_rise(1.0, 100));
  EXPECT_TRUE(detectable_rise_paired(0, 20));
  EXPECT_FALSE(runs_per_arm(0.1, 0.1));
}

TEST(EdgeCases, EverySmallTableGivesFiniteFiguresInRange) {
  for (std::uint64_t n = 1; n <= 5; ++n) {
    for (std::uint64_t a = 0; a <= n; ++a) {
      for (std::uint64_t b = 0; b <= n; ++b) {
        Proportion first{a, n};
        Proportion second{b, n};
        double gap = *second.rate() - *first.rate();
        Interval interval = *newcombe_interval(first, second);
        EXPECT_LE(interval.low, gap + 1e-12);
        EXPECT_GE(interval.high, gap - 1e-12);
        EXPECT_GE(interval.low, -1 - 1e-12);
        EXPECT_LE(interval.high, 1 + 1e-12);
        for (double p : {fisher_exact(first, second), *boschloo_exact(first, second)}) {
          EXPECT_GE(p, 0);
          EXPECT_LE(p, 1);
        }
        EXPECT_TRUE(std::isfinite(odds_ratio(first, second)->interval.high));
        EXPECT_TRUE(std::isfinite(risk_ratio(first, second)->interval.high));
        double bound = *equivalence_bound_independent(first, second);
        EXPECT_GE(bound, std::fabs(gap) - 1e-9);
        EXPECT_LE(bound, 1);
        PairedCounts pairs{0, a, b, 2 * n - a - b};
        interval = *tango_interval(pairs);
        EXPECT_TRUE(interval.low >= -1 && interval.high <= 1 && interval.low <= interval.high);
      }
    }
  }
}

TEST(EdgeCases, SignFlipWithManyFamiliesIsRepeatable) {
  std::vector<double> differences;
  for (int i = 0; i < 40; ++i) differences.push_back(i % 3 == 0 ? -0.1 : 0.2);
  std::optional<SignFlip> once = sign_flip_test(differences);
  std::optional<SignFlip> again = sign_flip_test(differences);
  EXPECT_FALSE(once->enumerated);
  EXPECT_EQ(once->p_value, again->p_value);
  EXPECT_LT(once->p_value, 0.05);
}

// Drawn signs agree with the binomial distribution that equal differences have, within the error of
// so many draws; differences of zero change nothing.
TEST(EdgeCases, DrawnSignsOfManyDifferencesAreThoseOfACoin) {
  for (std::size_t pairs : {101U, 1600U, 6000U}) {
    std::vector<double> differences(pairs, 1.0);
    // As far from half as makes the normal distribution say p = 0.0455.
    auto low = static_cast<std::size_t>(static_cast<double>(pairs) / 2 -
                                        std::sqrt(static_cast<double>(pairs)));
    std::fill_n(differences.begin(), low, -1.0);
    auto drawn = sign_flip_test(differences);
    ASSERT_TRUE(drawn);
    EXPECT_FALSE(drawn->enumerated);
    EXPECT_NEAR(drawn->p_value, mcnemar_exact(low, pairs - low), 0.006) << pairs;
    std::vector<double> with_zeros = differences;
    with_zeros.resize(pairs + 500, 0.0);
    EXPECT_EQ(sign_flip_test(with_zeros)->p_value, drawn->p_value);
    EXPECT_EQ(sign_flip_test(differences)->p_value, drawn->p_value) << "not the same twice";
  }
}

}  // namespace
}  // namespace gyges::analysis
