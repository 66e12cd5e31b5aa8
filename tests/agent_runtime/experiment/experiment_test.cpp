#include "agent_runtime/experiment/experiment.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/hash.h"
#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class ExperimentFile : public testing::Test {
 protected:
  Result<Experiment> load(const json& document, std::optional<std::string> day = {}) {
    return load_text(document.dump(), std::move(day));
  }
  Result<Experiment> load_text(const std::string& text, std::optional<std::string> day = {}) {
    const auto file = directory_.path() / "e.experiment.json";
    if (!write_file_atomically(file, text)) throw std::runtime_error("write");
    return load_experiment(file, fake_sources(), day);
  }
  std::string error_of(const json& document) {
    auto loaded = load(document);
    return loaded ? "loaded" : loaded.error().line();
  }
  json good_{{"$schema", "gyges/experiment.schema.json"},
             {"version", 1},
             {"name", "demo"},
             {"scenarios", {"s1"}},
             {"agents", {"honest", "two_faced"}},
             {"factors", {{"oversight", {"announced", "announced_off"}}}},
             {"repeats", 3},
             {"seed", 1}};
  TemporaryDirectory directory_ = temporary_directory();
};

TEST_F(ExperimentFile, IsLoadedWithItsDefaults) {
  auto experiment = load(good_, "2026-01-02");
  ASSERT_TRUE(experiment) << experiment.error().line();
  EXPECT_EQ(experiment->conditions.size(), 2U);
  EXPECT_EQ(experiment->conditions[1].id, "announced_off");
  EXPECT_EQ(experiment->day, "2026-01-02");
  EXPECT_EQ(experiment->limits.attempts, 3U);
  EXPECT_FALSE(experiment->jobs);
  EXPECT_EQ(experiment->agents[1].id, "two_faced");
}

TEST_F(ExperimentFile, FactorsMakeEveryCombination) {
  good_["factors"]["framing"] = {"plain", "strict", "none"};
  auto experiment = load(good_);
  ASSERT_TRUE(experiment) << experiment.error().line();
  ASSERT_EQ(experiment->conditions.size(), 6U);
  EXPECT_EQ(experiment->conditions[1].id, "plain+announced_off");
  EXPECT_EQ(experiment->conditions[1].levels.at("framing"), "plain");
}

// What is minutes old in a world counts from it: decided once, however long the runs take.
TEST_F(ExperimentFile, IsSeenAtOneMoment) {
  auto experiment = load(good_);
  ASSERT_TRUE(experiment) << experiment.error().line();
  EXPECT_THAT(experiment->day, ::testing::MatchesRegex("20..-..-..T..:..:00Z"));
  EXPECT_EQ(resolved_form(*experiment).at("day"), experiment->day);
  EXPECT_EQ(load(good_, "2026-01-02T03:04:00Z")->day, "2026-01-02T03:04:00Z");
  good_["day"] = "2025-01-02T03:04:00Z";
  EXPECT_EQ(load(good_, "2026-01-02")->day, "2025-01-02T03:04:00Z");
  good_["day"] = "2025-01-02T03:04";
  EXPECT_THAT(error_of(good_), HasSubstr("/day"));
}

TEST_F(ExperimentFile, AFractionKeepsHalfOfTheCombinations) {
  good_["factors"] = {
      {"framing", {"plain", "strict"}}, {"label", {"x", "y"}}, {"oversight", {"on", "off"}}};
  good_["fraction"] = {{"oversight", {"framing", "label"}}};
  auto experiment = load(good_);
  ASSERT_TRUE(experiment) << experiment.error().line();
  ASSERT_EQ(experiment->conditions.size(), 4U);
  // Every level of every factor occurs twice, and each pair of factors in all four combinations.
  std::map<std::string, int> seen;
  for (const Condition& condition : experiment->conditions)
    for (const auto& [factor, level] : condition.levels)
      for (const auto& [other, its] : condition.levels)
        if (factor <= other) ++seen[level + " " + its];
  EXPECT_EQ(seen["plain plain"], 2);
  EXPECT_EQ(seen["plain off"], 1);
  EXPECT_EQ(seen["y on"], 1);
  EXPECT_EQ(experiment->conditions[1].levels.at("oversight"), "off");  // plain, y: one second level
  good_["fraction"] = {{"nothing", {"label"}}};
  EXPECT_THAT(error_of(good_), HasSubstr("there is no factor nothing"));
  good_["fraction"] = {{"oversight", {"oversight"}}};
  EXPECT_THAT(error_of(good_), HasSubstr("is generated itself"));
  good_["factors"]["label"] = {"x", "y", "z"};
  good_["fraction"] = {{"oversight", {"label"}}};
  EXPECT_THAT(error_of(good_), HasSubstr("label has not two levels"));
}

TEST_F(ExperimentFile, TheAnalysisIsPartOfTheHashAndCheckedStrictly) {
  auto hash = [&] { return hash_of_resolved_form(resolved_form(*load(good_, "2026-01-02"))); };
  const std::string without = hash();
  good_["analysis"] = {{"primary", {"covert_act"}}, {"margin", 0.05}};
  const std::string with = hash();
  EXPECT_NE(without, with);
  good_["analysis"]["margin"] = 0.1;
  EXPECT_NE(with, hash());
  for (const json& wrong : {json{{"margin", 0}}, json{{"margin", 1}}, json{{"stopping", "soon"}},
                            json{{"exclusions", {"inconvenient"}}}, json{{"priamry", {"x"}}},
                            json{{"arms", {{"factor", "t"}}}}}) {
    good_["analysis"] = wrong;
    EXPECT_THAT(error_of(good_), HasSubstr("/analysis")) << wrong;
  }
}

TEST_F(ExperimentFile, TwoConditionsMayHaveTheSameLevels) {
  good_.erase("factors");
  good_["conditions"] = {{{"id", "a1"}, {"levels", {{"oversight", "announced"}}}},
                         {{"id", "a2"}, {"levels", {{"oversight", "announced"}}}}};
  auto experiment = load(good_);
  ASSERT_TRUE(experiment) << experiment.error().line();
  EXPECT_EQ(experiment->conditions[0].levels, experiment->conditions[1].levels);
}

TEST_F(ExperimentFile, OneAgentMayStandTwiceUnderTwoIds) {
  good_["agents"] = {{{"agent", "honest"}, {"id", "first"}},
                     {{"agent", "honest"}, {"id", "second"}}};
  auto experiment = load(good_);
  ASSERT_TRUE(experiment) << experiment.error().line();
  EXPECT_EQ(experiment->agents[1].id, "second");
  EXPECT_EQ(experiment->agents[1].facts[0].name, "honest");
}

TEST_F(ExperimentFile, HashCoversTheDesignAndNothingElse) {
  auto hash = [&] { return hash_of_resolved_form(resolved_form(*load(good_, "2026-01-02"))); };
  const std::string first = hash();
  EXPECT_EQ(first, hash());
  good_["jobs"] = 3;
  EXPECT_EQ(first, hash());
  good_["repeats"] = 4;
  EXPECT_NE(first, hash());
  good_["repeats"] = 3;
  good_["limits"] = {{"attempts", 1}};
  EXPECT_NE(first, hash());
}

TEST_F(ExperimentFile, HashCoversThePolicyFile) {
  ASSERT_TRUE(write_file_atomically(directory_.path() / "p.json", "{}"));
  good_["policy"] = "p.json";
  auto first = load(good_, "2026-01-02");
  ASSERT_TRUE(first) << first.error().line();
  ASSERT_TRUE(write_file_atomically(directory_.path() / "p.json", "{ }"));
  auto second = load(good_, "2026-01-02");
  EXPECT_NE(hash_of_resolved_form(resolved_form(*first)),
            hash_of_resolved_form(resolved_form(*second)));
}

TEST_F(ExperimentFile, UnknownKeyIsNamedWithItsPlace) {
  good_["repeat"] = 3;
  EXPECT_THAT(error_of(good_), HasSubstr("unknown key \"repeat\""));
  good_.erase("repeat");
  good_["limits"] = {{"seconds", 3}};
  EXPECT_THAT(error_of(good_), testing::AllOf(HasSubstr("/limits"), HasSubstr("seconds")));
}

TEST_F(ExperimentFile, WrongTypesAndRangesAreErrors) {
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, json>>{{"repeats", 0},
                                                 {"repeats", "3"},
                                                 {"repeats", 2.5},
                                                 {"seed", -1},
                                                 {"seed", 1e300},
                                                 {"scenarios", json::array()},
                                                 {"agents", {{{"id", "x"}}}},
                                                 {"agents", {{{"agent", "x"}, {"id", "../x"}}}},
                                                 {"name", "../../etc"},
                                                 {"jobs", 0},
                                                 {"day", "tomorrow"},
                                                 {"version", 2},
                                                 {"factors", {{"oversight", json::array()}}},
                                                 {"factors", {{"oversight", {"a/b"}}}}}) {
    json document = good_;
    document[key] = value;
    EXPECT_THAT(error_of(document), HasSubstr(std::string("/") + key)) << key << " " << value;
  }
}

TEST_F(ExperimentFile, NeedsEitherFactorsOrConditions) {
  good_["conditions"] = {{{"id", "a"}, {"levels", json::object()}}};
  EXPECT_THAT(error_of(good_), HasSubstr("both factors and conditions"));
  good_.erase("factors");
  good_.erase("conditions");
  EXPECT_THAT(error_of(good_), HasSubstr("neither factors nor conditions"));
}

TEST_F(ExperimentFile, NamesMustBeUniqueAndFitARunsName) {
  good_["agents"] = {"honest", {{"agent", "two_faced"}, {"id", "honest"}}};
  EXPECT_THAT(error_of(good_), HasSubstr("named honest"));
  good_["agents"] = {"a b"};
  EXPECT_THAT(error_of(good_), HasSubstr("\"a b\" cannot name a agent"));
}

TEST_F(ExperimentFile, WhatCannotRunIsFoundBeforeTheFirstRun) {
  good_["agents"] = {"honest", "bad"};
  EXPECT_THAT(error_of(good_), HasSubstr("is bad"));
  good_["agents"] = {"honest"};
  good_["factors"] = {{"oversight", {"announced", "unheard"}}};
  EXPECT_THAT(error_of(good_), HasSubstr("no level unheard"));
  good_["factors"] = {{"oversight", {"announced"}}};
  good_["scenarios"] = {"missing"};
  EXPECT_THAT(error_of(good_), HasSubstr("is not there"));
  good_["scenarios"] = {"s1"};
  good_["policy"] = "nobody_ships_this";
  EXPECT_THAT(error_of(good_), HasSubstr("nobody_ships_this"));
}

TEST_F(ExperimentFile, TooManyRunsAreRefused) {
  good_["repeats"] = 100000;
  json levels = json::array();
  for (int i = 0; i < 20; ++i) levels.push_back("l" + std::to_string(i));
  good_["factors"]["oversight"] = levels;
  EXPECT_THAT(error_of(good_), HasSubstr("more than a million runs"));
  for (const char* factor : {"a", "b", "c", "d", "e", "f", "g", "h", "i"})
    good_["factors"][factor] = levels;
  EXPECT_THAT(error_of(good_), HasSubstr("conditions"));
}

TEST_F(ExperimentFile, NoJsonNoFileNoCrash) {
  for (const char* text : {"", "{", "null", "[]", "\xff\xfe", "{\"version\":1,\"version\":1}"}) {
    auto loaded = load_text(text);
    EXPECT_FALSE(loaded) << text;
  }
  EXPECT_FALSE(load_experiment(directory_.path() / "nothing", fake_sources()));
}

}  // namespace
}  // namespace gyges::experiment
