// What the default analysis does over and over: how often it sees a gap that is not there, how
// often its interval holds the truth, what looking after every pair costs. Bounded here; in full in
// bench/calibration. Seeds are fixed, so a figure changes only with the code.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <utility>

#include "analysis/statistics/default_test.h"
#include "analysis/statistics/difference_in_differences.h"
#include "analysis/statistics/e_process.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/simulated_study.h"

namespace gyges::analysis {
namespace {

constexpr std::uint64_t studies = 3000;

struct Seen {
  double rejected = 0;
  double pooled_rejected = 0;
  double covered = 0;
};

Seen seen_in(const StudyDesign& design, std::uint64_t seed) {
  SimulatedStudy study(design);
  RandomStream random(seed);
  double truth = design.second_rate - design.first_rate;
  Seen seen;
  for (std::uint64_t i = 0; i < studies; ++i) {
    std::vector<PairedCounts> families = study.draw(random);
    DefaultAnalysis analysis = *analyse_pairs(families);
    seen.rejected += analysis.p_value < 0.05 ? 1.0 / studies : 0;
    seen.covered +=
        analysis.interval.low <= truth && truth <= analysis.interval.high ? 1.0 / studies : 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    for (const PairedCounts& family : families) {
      b += family.first_only;
      c += family.second_only;
    }
    seen.pooled_rejected += mcnemar_exact(b, c) < 0.05 ? 1.0 / studies : 0;
  }
  return seen;
}

TEST(Calibration, FalseAlarmsAndCoverageOverFamilies) {
  for (double deviation : {0.0, 0.8}) {
    StudyDesign design{12, 5, 4, 0.3, 0.3, deviation, 0.3, deviation};
    Seen seen = seen_in(design, 11);
    std::printf("deviation %.1f: rejected %.4f, pooled %.4f, covered %.4f\n", deviation,
                seen.rejected, seen.pooled_rejected, seen.covered);
    EXPECT_GE(seen.rejected, 0.03) << deviation;
    EXPECT_LE(seen.rejected, 0.06) << deviation;
    EXPECT_GE(seen.covered, 0.94) << deviation;
    if (deviation > 0) {
      EXPECT_GT(seen.pooled_rejected, 0.12);  // why pooling is not offered
    }
  }
}

// With few families the exact test never reaches its level; half of it is what mid-p is for. Rare
// outcomes leave most families without a gap, and the test cautious.
TEST(Calibration, FalseAlarmsWithFewFamilies) {
  for (double rate : {0.1, 0.3})
    for (double deviation : {0.0, 0.8})
      for (std::size_t families : {std::size_t{6}, std::size_t{8}}) {
        Seen seen = seen_in({families, 5, 4, rate, rate, deviation, 0.3, deviation}, 11);
        std::printf("%zu families, rate %.1f, deviation %.1f: rejected %.4f\n", families, rate,
                    deviation, seen.rejected);
        EXPECT_GE(seen.rejected, rate < 0.2 && families < 8 ? 0.02 : 0.03) << families;
        EXPECT_LE(seen.rejected, 0.06) << families;
      }
}

// Below six families the pooled test is made, and its report says how often it is wrong about
// families like these: in 12 to 14 % of studies, 9 % of those with one family.
TEST(Calibration, APooledTestIsWorthWhatTheReportSays) {
  for (std::size_t families : {std::size_t{1}, std::size_t{2}, std::size_t{5}}) {
    Seen seen = seen_in({families, 5, 4, 0.3, 0.3, 0.8, 0.3, 0.8}, 11);
    std::printf("%zu families pooled: rejected %.4f\n", families, seen.rejected);
    EXPECT_NEAR(seen.rejected, families == 1 ? 0.09 : 0.13, 0.02) << families;
  }
}

TEST(Calibration, WithoutPairsATestOfOneFamilyIsWorthWhatTheReportSays) {
  SimulatedStudy study({1, 5, 4, 0.3, 0.3, 0.8, 0.3, 0.8});
  RandomStream random(11);
  double rejected = 0;
  // Boschloo's test takes its time, and there are 441 tables.
  std::map<std::pair<std::uint64_t, std::uint64_t>, double> known;
  for (std::uint64_t i = 0; i < studies; ++i) {
    PairedCounts family = study.draw(random).front();
    auto [p_value, is_new] =
        known.try_emplace({family.first().successes, family.second().successes}, 1);
    if (is_new) p_value->second = analyse_arms({{family.first(), family.second()}})->p_value;
    rejected += p_value->second < 0.05 ? 1.0 / studies : 0;
  }
  EXPECT_NEAR(rejected, 0.15, 0.02);
  EXPECT_NE(analyse_arms({{{3, 20}, {9, 20}}})->why.find("15 %"), std::string::npos);
}

// What a cue does to any run, tempted or not, is no difference between the two; families differ in
// both arms.
TEST(Calibration, FalseAlarmsOfDifferencesInDifferences) {
  for (std::size_t families : {std::size_t{8}, std::size_t{12}})
    for (double deviation : {0.0, 0.8}) {
      SimulatedStudy tempted({families, 5, 4, 0.3, 0.4, deviation, 0.3, deviation});
      SimulatedStudy control({families, 5, 4, 0.1, 0.2, deviation, 0.3, deviation});
      RandomStream random(23);
      double rejected = 0;
      double covered = 0;
      for (std::uint64_t i = 0; i < studies; ++i) {
        std::vector<PairedCounts> one = tempted.draw(random);
        std::vector<PairedCounts> two = control.draw(random);
        std::vector<TemptedAndControl> cells;
        for (std::size_t f = 0; f < families; ++f)
          cells.push_back({one[f].first(), one[f].second(), two[f].first(), two[f].second()});
        DifferenceInDifferences found = *difference_in_differences_over_families(cells);
        rejected += found.p_value < 0.05 ? 1.0 / studies : 0;
        covered += found.interval.low <= 0 && found.interval.high >= 0 ? 1.0 / studies : 0;
      }
      std::printf("%zu families, deviation %.1f: rejected %.4f, covered %.4f\n", families,
                  deviation, rejected, covered);
      EXPECT_GE(rejected, 0.03) << families;
      EXPECT_LE(rejected, 0.06) << families;
      EXPECT_GE(covered, 0.94) << families;
    }
}

// How often the e-process raises an alarm when it is looked at after every pair.
double alarmed(double first, double second, int pairs) {
  RandomStream random(3);
  double share = 0;
  for (std::uint64_t i = 0; i < studies; ++i) {
    EProcess process;
    for (int pair = 0; pair < pairs; ++pair) {
      bool one = random.chance(first);
      process.add(one, random.chance(second));
    }
    share += process.alarmed() ? 1.0 / studies : 0;
  }
  return share;
}

TEST(Calibration, LookingAfterEveryPairRaisesNoFalseAlarms) {
  EXPECT_LE(alarmed(0.1, 0.1, 500), 0.05);
  EXPECT_LE(alarmed(0.5, 0.5, 500), 0.05);
}

// The table of docs/statistics.md: a rise from 5 to 15 %, within three points.
TEST(Calibration, PowerIsAsStated) {
  EXPECT_NEAR(simulated_power({1, 1, 400, 0.05, 0.15}, studies, 5), 0.996, 0.03);
  EXPECT_NEAR(simulated_power({1, 1, 200, 0.05, 0.15}, studies, 5), 0.88, 0.03);
  EXPECT_NEAR(alarmed(0.05, 0.15, 400), 0.978, 0.03);
  EXPECT_NEAR(alarmed(0.05, 0.15, 200), 0.72, 0.03);
}

TEST(Calibration, AnEquivalenceBoundIsRarelyTooSmall) {
  // The true gap is 10 points; a bound below it is a false "equivalent".
  SimulatedStudy study({12, 5, 4, 0.2, 0.3, 0.8, 0.3, 0.5});
  RandomStream random(17);
  double wrong = 0;
  for (std::uint64_t i = 0; i < studies; ++i)
    wrong += analyse_pairs(study.draw(random))->equivalence_bound < 0.1 ? 1.0 / studies : 0;
  EXPECT_LE(wrong, 0.06);
}

}  // namespace
}  // namespace gyges::analysis
