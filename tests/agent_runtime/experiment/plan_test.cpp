#include "agent_runtime/experiment/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "agent_runtime/experiment/random_order.h"
#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

TEST(RandomOrder, IsWhatItsDocumentationSays) {
  // From an independent implementation of the documented generator.
  EXPECT_EQ(RandomOrder(42).next(), 17379091356585749734ULL);
}

TEST(RandomOrder, StaysTheSameForever) {
  std::vector<int> items{0, 1, 2, 3, 4, 5, 6, 7};
  RandomOrder(42).shuffle(items);
  EXPECT_THAT(items, testing::ElementsAre(4, 1, 7, 2, 3, 0, 5, 6));
}

TEST(RandomOrder, DrawsEveryNumberBelowTheBoundEquallyOften) {
  RandomOrder random(1);
  std::map<std::uint64_t, int> counts;
  for (int i = 0; i < 30000; ++i) ++counts[random.below(3)];
  ASSERT_EQ(counts.size(), 3U);
  // Standard deviation of each count: 82.
  for (const auto& [number, count] : counts) EXPECT_NEAR(count, 10000, 400);
}

TEST(RandomOrder, OfOneBelowOneIsZero) {
  EXPECT_EQ(RandomOrder(3).below(1), 0U);
}

TEST(Plan, HoldsEverySlotOnce) {
  Experiment experiment = make_experiment({"a", "b", "c"}, 5);
  std::vector<Slot> plan = make_plan(experiment);
  std::set<std::string> names;
  for (const Slot& slot : plan) names.insert(slot.name);
  EXPECT_EQ(plan.size(), 3U * 2U * 5U);
  EXPECT_EQ(names.size(), plan.size());
  EXPECT_TRUE(names.contains("s1.b.off.r4"));
}

TEST(Plan, IsTheSameEachTimeAndOtherForAnotherSeed) {
  Experiment experiment = make_experiment({"a", "b"}, 10);
  auto names = [](const Experiment& of) {
    std::vector<std::string> list;
    for (const Slot& slot : make_plan(of)) list.push_back(slot.name);
    return list;
  };
  auto first = names(experiment);
  EXPECT_EQ(first, names(experiment));
  experiment.seed = 8;
  EXPECT_NE(first, names(experiment));
  EXPECT_THAT(names(experiment), testing::UnorderedElementsAreArray(first));
}

TEST(Plan, GivesTheRunsOfAPairOneSeedAndEveryPairItsOwn) {
  Experiment experiment = make_experiment({"a", "b"}, 10);
  std::map<std::string, std::set<std::uint64_t>> seeds;
  std::set<std::uint64_t> all;
  for (const Slot& slot : make_plan(experiment)) {
    seeds[std::to_string(slot.agent) + "/" + std::to_string(slot.repeat)].insert(slot.seed);
    all.insert(slot.seed);
    EXPECT_LE(slot.seed, max_exact_integer);
  }
  for (const auto& [pair, of_pair] : seeds) EXPECT_EQ(of_pair.size(), 1U) << pair;
  EXPECT_EQ(all.size(), 20U);
}

TEST(Plan, SeedIsWhatItsDocumentationSays) {
  EXPECT_EQ(run_seed(7, "s1", "a", 0), 865542121752425ULL);
}

TEST(Plan, SeedDoesNotDependOnWhatElseIsInTheExperiment) {
  Experiment one = make_experiment({"a"}, 1);
  Experiment two = make_experiment({"b", "a"}, 3);
  std::uint64_t seed = make_plan(one).front().seed;
  for (const Slot& slot : make_plan(two))
    if (two.agents[slot.agent].id == "a" && slot.repeat == 0) {
      EXPECT_EQ(slot.seed, seed);
    }
}

TEST(Plan, PutsTheRunsOfAPairNextToEachOther) {
  std::vector<Slot> plan = make_plan(make_experiment({"a", "b"}, 20));
  for (std::size_t i = 0; i < plan.size(); i += 2) {
    EXPECT_EQ(plan[i].agent, plan[i + 1].agent);
    EXPECT_EQ(plan[i].repeat, plan[i + 1].repeat);
    EXPECT_NE(plan[i].condition, plan[i + 1].condition);
  }
}

TEST(Plan, NoConditionIsAlwaysFirst) {
  std::vector<Slot> plan = make_plan(make_experiment({"a", "b"}, 100));
  int first = 0;
  for (std::size_t i = 0; i < plan.size(); i += 2) first += plan[i].condition == 0 ? 1 : 0;
  // 200 pairs: mean 100, standard deviation 7.
  EXPECT_NEAR(first, 100, 35);
}

TEST(Plan, IsBalancedInEveryPrefixOfWholeRepeats) {
  std::vector<Slot> plan = make_plan(make_experiment({"a", "b"}, 6));
  std::map<std::pair<std::size_t, std::size_t>, int> counts;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    ++counts[{plan[i].agent, plan[i].condition}];
    if ((i + 1) % 4 != 0) continue;
    for (const auto& [cell, count] : counts) EXPECT_EQ(count, static_cast<int>((i + 1) / 4)) << i;
  }
}

}  // namespace
}  // namespace gyges::experiment
