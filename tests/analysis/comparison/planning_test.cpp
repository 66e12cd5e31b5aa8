// How many runs a plan needs, against figures that are known.
#include <gtest/gtest.h>

#include "analysis/statistics/required_runs.h"

namespace gyges::analysis {
namespace {

TEST(RequiredRuns, OneFamilyNeedsWhatTheFormulaSaysAndSomewhatMore) {
  // McNemar needs about 141 pairs of independent runs for 5 against 15 % by the normal formula; the
  // exact test a few more.
  RequiredRuns needed = required_runs({1, 1, 50, 0.05, 0.15}, 0.8, 0.05, 0.05);
  ASSERT_TRUE(needed.repeats);
  EXPECT_GE(*needed.repeats, 135U);
  EXPECT_LE(*needed.repeats, 185U);
  EXPECT_LT(needed.power, 0.4);
  EXPECT_EQ(needed.pairs_for_margin, 326U);
}

TEST(RequiredRuns, FamiliesThatDifferNeedMoreOfThem) {
  StudyDesign even{8, 2, 5, 0.2, 0.4, 0, 0, 0};
  StudyDesign uneven{8, 2, 5, 0.2, 0.4, 0, 0, 1.5};
  RequiredRuns of_even = required_runs(even, 0.8, 0.05, {});
  RequiredRuns of_uneven = required_runs(uneven, 0.8, 0.05, {});
  EXPECT_GT(of_even.power, of_uneven.power);
  ASSERT_TRUE(of_even.repeats);
  EXPECT_FALSE(of_uneven.repeats);  // no number of repeats makes up for too few families
  ASSERT_TRUE(of_uneven.families);
  EXPECT_GT(*of_uneven.families, 8U);
  EXPECT_FALSE(of_even.pairs_for_margin);
}

}  // namespace
}  // namespace gyges::analysis
