// Which test a design gets, and what methods without a reference implementation answer.
#include "analysis/statistics/default_test.h"

#include <gtest/gtest.h>

#include <cmath>

#include "analysis/statistics/beta_binomial.h"
#include "analysis/statistics/difference_in_differences.h"
#include "analysis/statistics/e_process.h"
#include "analysis/statistics/family_means.h"
#include "analysis/statistics/logistic.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/mixed_logistic.h"
#include "analysis/statistics/rate_difference.h"
#include "analysis/statistics/trace_tests.h"

namespace gyges::analysis {
namespace {

std::vector<PairedCounts> alike(std::size_t families, PairedCounts counts) {
  return std::vector<PairedCounts>(families, counts);
}

TEST(DefaultTest, PooledTestOnlyBelowSixFamiliesAndScopeSaysSo) {
  for (std::size_t families = 1; families <= 8; ++families) {
    DefaultAnalysis analysis = *analyse_pairs(alike(families, {1, 1, 5, 3}));
    bool over_families = families >= 6;
    EXPECT_EQ(analysis.scope, over_families ? Scope::families : Scope::these_tasks) << families;
    EXPECT_EQ(analysis.test, over_families ? "mid-p sign-flip over families" : "mid-p McNemar");
    EXPECT_EQ(analysis.families, families);
    EXPECT_FALSE(analysis.why.empty());
    EXPECT_NEAR(analysis.gap, 0.4, 1e-12);
    EXPECT_LE(analysis.least_p_value, analysis.p_value);
    // Whoever reads only this must learn what a pooled test is worth.
    EXPECT_EQ(analysis.why.find("of such studies report a gap") == std::string::npos, over_families)
        << analysis.why;
  }
  DefaultAnalysis six = *analyse_pairs(alike(6, {0, 0, 4, 4}));
  EXPECT_NEAR(six.p_value, 1.0 / 64, 1e-12);
  EXPECT_NEAR(six.least_p_value, 1.0 / 64, 1e-12);
  EXPECT_EQ(six.second_test, "exact sign-flip over families");
  EXPECT_NEAR(*six.second_p_value, 2.0 / 64, 1e-12);
}

TEST(DefaultTest, PairsGetMidPWithTheExactTestBesideIt) {
  DefaultAnalysis one = *analyse_pairs({{3, 2, 11, 4}});
  EXPECT_NEAR(one.p_value, 0.012939453125, 1e-12);
  EXPECT_EQ(one.second_test, "exact McNemar");
  EXPECT_NEAR(*one.second_p_value, 0.0224609375, 1e-12);
}

TEST(DefaultTest, OneOddFamilyIsNoGapAcrossFamilies) {
  // All of the effect sits in one of eight families; a pooled test is sure of it.
  std::vector<PairedCounts> families = alike(8, {0, 0, 0, 20});
  families[3] = {0, 0, 20, 0};
  EXPECT_LT(mcnemar_exact(0, 20), 1e-5);
  DefaultAnalysis analysis = *analyse_pairs(families);
  EXPECT_EQ(analysis.p_value, 1);
  EXPECT_LT(analysis.interval.low, 0);
}

TEST(DefaultTest, FamiliesCountEquallyAndEmptyOnesNotAtAll) {
  std::vector<PairedCounts> families = alike(6, {0, 0, 1, 9});
  families.push_back({});
  families.push_back({0, 0, 100, 0});
  DefaultAnalysis analysis = *analyse_pairs(families);
  EXPECT_EQ(analysis.families, 7U);
  EXPECT_NEAR(analysis.gap, (6 * 0.1 + 1) / 7, 1e-12);
}

TEST(DefaultTest, FamiliesThatAgreeStillHaveWidth) {
  DefaultAnalysis analysis = *analyse_pairs(alike(12, {0, 0, 0, 5}));
  EXPECT_EQ(analysis.p_value, 1);
  EXPECT_NEAR(analysis.interval.high,
              1.959963984540054 * 1.959963984540054 / (60 + 1.959963984540054 * 1.959963984540054),
              1e-9);
  EXPECT_GT(analysis.equivalence_bound, 0.03);
}

TEST(DefaultTest, IndependentArms) {
  EXPECT_EQ(analyse_arms({{{3, 60}, {12, 60}}})->test, "Boschloo");
  // Simpson: within each family the arms are alike; pooled, the second looks worse.
  std::vector<FamilyArms> confounded{{{1, 10}, {10, 100}}, {{90, 100}, {9, 10}}};
  DefaultAnalysis within = *analyse_arms(confounded);
  EXPECT_EQ(within.test, "permutation within families");
  EXPECT_NEAR(within.gap, 0, 1e-12);
  EXPECT_GT(within.p_value, 0.9);
  DefaultAnalysis many = *analyse_arms(std::vector<FamilyArms>(7, {{1, 10}, {6, 10}}));
  EXPECT_EQ(many.scope, Scope::families);
  EXPECT_NEAR(many.p_value, 1.0 / 128, 1e-12);
}

TEST(DefaultTest, NothingToAnalyse) {
  EXPECT_FALSE(analyse_pairs({}));
  EXPECT_FALSE(analyse_pairs({PairedCounts{}}));
  EXPECT_FALSE(analyse_arms({}));
  EXPECT_FALSE(analyse_arms({{{0, 0}, {1, 3}}, {{1, 3}, {0, 0}}}));
  EXPECT_TRUE(analyse_pairs({{0, 0, 1, 0}}));
  EXPECT_TRUE(analyse_arms({{{0, 1}, {1, 1}}}));
}

TEST(DefaultTest, DetectableRiseGrowsWithDifferencesBetweenFamilies) {
  std::vector<PairedCounts> even = alike(8, {1, 1, 1, 17});
  std::vector<PairedCounts> uneven = alike(8, {1, 1, 1, 17});
  for (std::size_t i = 0; i < 8; ++i)
    uneven[i] = i % 2 == 0 ? PairedCounts{1, 6, 0, 13} : PairedCounts{1, 0, 6, 13};
  double small = *detectable_rise(*analyse_pairs(even), true, 0.1, 160);
  double large = *detectable_rise(*analyse_pairs(uneven), true, 0.1, 160);
  EXPECT_GT(large, 1.5 * small);
  EXPECT_FALSE(detectable_rise(*analyse_pairs(uneven), true, 0.9, 160));
}

TEST(DifferenceInDifferences, RemovesWhatTheCueDoesToAnyRun) {
  TemptedAndControl cells{{5, 50}, {20, 50}, {5, 50}, {20, 50}};
  DifferenceInDifferences same = *difference_in_differences(cells);
  EXPECT_NEAR(same.value, 0, 1e-12);
  EXPECT_NEAR(same.p_value, 1, 1e-6);
  cells.control_second = {5, 50};
  DifferenceInDifferences gap = *difference_in_differences(cells);
  EXPECT_NEAR(gap.value, 0.3, 1e-12);
  EXPECT_GT(gap.interval.low, 0);
  EXPECT_LT(gap.p_value, 0.05);
  // By hand from the two Newcombe intervals.
  Interval t = *newcombe_interval({5, 50}, {20, 50});
  Interval c = *newcombe_interval({5, 50}, {5, 50});
  EXPECT_NEAR(gap.interval.low, 0.3 - std::hypot(0.3 - t.low, c.high), 1e-12);
  EXPECT_FALSE(difference_in_differences({}));
  EXPECT_FALSE(difference_in_differences_over_families({cells}));
  std::vector<TemptedAndControl> families(8, cells);
  families.push_back({});
  DifferenceInDifferences over = *difference_in_differences_over_families(families);
  EXPECT_NEAR(over.p_value, 1.0 / 256, 1e-12);  // mid-p: both extreme patterns count by half
  // Families that agree exactly are no proof of an effect without width.
  EXPECT_LT(over.interval.low, 0.3 - 0.02);
  EXPECT_GT(over.interval.high, 0.3 + 0.02);
}

TEST(Posterior, IntervalHoldsItsShare) {
  // Beta(1, 1) against Beta(1, 1): the difference of two uniforms has P(D <= d) = (1 + d)^2 / 2.
  RateDifferencePosterior flat = rate_difference_posterior({}, {});
  EXPECT_NEAR(flat.credible.low, std::sqrt(0.05) - 1, 1e-9);
  EXPECT_NEAR(flat.credible.high, 1 - std::sqrt(0.05), 1e-9);
  EXPECT_NEAR(flat.second_higher, 0.5, 1e-9);
  RateDifferencePosterior many = rate_difference_posterior({5000, 100000}, {5400, 100000});
  EXPECT_NEAR(many.mean, 0.004, 1e-5);
  EXPECT_GT(many.second_higher, 0.9999);
  EXPECT_LT(many.credible.low, many.mean);
}

TEST(EProcess, OnlyGrowsAndNeedsEightPairsOneWay) {
  EProcess process;
  for (int i = 0; i < 20; ++i) process.add(true, true);
  EXPECT_EQ(process.anytime_p(), 1);
  int needed = 0;
  while (!process.alarmed()) {
    process.add(false, true);
    ++needed;
  }
  EXPECT_EQ(needed, 8);  // 2^n / (n + 1) reaches 20 at eight
  double before = process.anytime_p();
  for (int i = 0; i < 8; ++i) process.add(true, false);
  EXPECT_EQ(process.anytime_p(), before);
  EXPECT_LT(process.log_e(), 0);
}

LogisticData two_arms(std::size_t clusters, bool separated) {
  LogisticData data{{"arm"}, {}, {}, {}, {{}, {0}}};
  for (std::size_t g = 0; g < clusters; ++g) {
    for (int i = 0; i < 8; ++i) {
      data.cluster.push_back(g);
      data.values.push_back({static_cast<double>(i % 2)});
      data.outcome.push_back(i % 2 == 1 &&
                             (separated || (g + static_cast<std::size_t>(i)) % 3 != 0));
      if (!separated && i == 0) data.outcome.back() = g % 2 == 0;
    }
  }
  return data;
}

TEST(Logistic, SaysWhyThereIsNoEstimate) {
  Result<LogisticFit> separated = fit_logistic(two_arms(6, true));
  ASSERT_FALSE(separated);
  EXPECT_NE(separated.error().line().find("without error"), std::string::npos);
  EXPECT_FALSE(fit_mixed_logistic(two_arms(6, true)));
  EXPECT_FALSE(fit_logistic(two_arms(1, false)));
  EXPECT_FALSE(fit_logistic({}));
  LogisticData repeated = two_arms(6, false);
  repeated.terms.push_back({0});
  EXPECT_FALSE(fit_logistic(repeated));
  EXPECT_TRUE(fit_logistic(two_arms(6, false)));
}

TEST(Logistic, MarginalEffectOfOneFactorIsTheGap) {
  LogisticData data = two_arms(10, false);
  LogisticFit fit = *fit_logistic(data);
  MarginalEffect effect = marginal_effect(data, fit, {{1, {{0, 1}}}, {-1, {{0, 0}}}});
  double rates[2] = {0, 0};
  for (std::size_t i = 0; i < data.outcome.size(); ++i)
    rates[i % 2] += data.outcome[i] ? 1.0 / 40 : 0;
  EXPECT_NEAR(effect.value, rates[1] - rates[0], 1e-9);
}

TEST(TraceTests, BlocksHideDifferencesBetweenTasksAndShowThoseWithin) {
  // Two tasks far apart; the second arm ran mostly on the second task.
  FeatureMatrix matrix{2, {}};
  FeatureMatrix shifted{2, {}};
  BlockedLabels labels;
  RandomStream random(7);
  for (std::size_t i = 0; i < 60; ++i) {
    std::size_t block = i % 2;
    bool second = i % 10 < (block == 0 ? 2U : 8U);
    double level = block == 0 ? 0 : 5;
    for (int f = 0; f < 2; ++f) {
      double value = level + random.normal();
      matrix.values.push_back(value);
      shifted.values.push_back(value + (second ? 2 : 0));
    }
    labels.second.push_back(second);
    labels.block.push_back(block);
  }
  BlockedLabels unblocked = labels;
  unblocked.block.assign(60, 0);
  for (auto test :
       {+[](const FeatureMatrix&m, const BlockedLabels&l) { return energy_test(m, l, 199); },
        +[](const FeatureMatrix&m, const BlockedLabels&l) { return mmd_test(m, l, 199); },
        +[](const FeatureMatrix&m, const BlockedLabels&l) { return classifier_test(m, l, 199); }}) {
    EXPECT_LT(test(matrix, unblocked)->p_value, 0.02);  // what a naive test would have said
    EXPECT_GT(test(matrix, labels)->p_value, 0.05);
    EXPECT_LT(test(shifted, labels)->p_value, 0.02);
    EXPECT_EQ(test(shifted, labels)->p_value, test(shifted, labels)->p_value);
  }
  EXPECT_FALSE(energy_test(matrix, {}));
  BlockedLabels one_arm = labels;
  one_arm.second.assign(60, true);
  EXPECT_FALSE(energy_test(matrix, one_arm));
  EXPECT_FALSE(mmd_test(matrix, one_arm));
  EXPECT_FALSE(classifier_test(matrix, one_arm));
  FeatureMatrix constant = standardised({2, std::vector<double>(120, 4)});
  EXPECT_EQ(constant.values[5], 0);
  EXPECT_EQ(energy_test(constant, labels)->p_value, 1);
  EXPECT_EQ(classifier_test(constant, labels)->p_value, 1);
}

TEST(TraceTests, APartnerDoesNotTeachTheOpposite) {
  // Pairs of equal runs: no classifier can tell their arms, nor do worse than chance.
  FeatureMatrix matrix{1, {}};
  BlockedLabels labels;
  for (std::size_t pair = 0; pair < 10; ++pair) {
    for (bool second : {false, true}) {
      matrix.values.push_back(static_cast<double>(pair));
      labels.second.push_back(second);
      labels.block.push_back(pair);
    }
  }
  EXPECT_NEAR(classifier_test(standardised(matrix), labels, 99)->statistic, 0.5, 1e-9);
}

}  // namespace
}  // namespace gyges::analysis
