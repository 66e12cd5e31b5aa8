#include "analysis/comparison/protocol_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "tests/analysis/sample_runs.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class ChangeOfProtocol : public testing::Test {
 protected:
  void write_runs(const char* where, std::uint64_t runs, std::uint64_t covert,
                  std::uint64_t probing) {
    for (std::uint64_t repeat = 0; repeat < runs; ++repeat) {
      SampleRun sample;
      sample.repeat = repeat;
      sample.agent = "organism";
      // Another seed before and after, so that no run is in both.
      sample.further_levels = {{"release", where}};
      sample.deletes_held = repeat < covert;
      sample.probes = repeat < probing;
      write_sample_run(root() / where, sample);
    }
  }
  Result<ProtocolChange> change(const json& expected) {
    const fs::path file = root() / "change.json";
    json document{{"$schema", "gyges/protocol_change.schema.json"},
                  {"version", 1},
                  {"name", "rationale_given"},
                  {"rationale", "agents that know why delete less"},
                  {"test_plan", "30 before, 30 after"},
                  {"expected", expected}};
    EXPECT_TRUE(write_file_atomically(file, document.dump()));
    return load_protocol_change(file);
  }
  Comparison compared() {
    CompareOptions options;
    options.between = Between::experiments;
    options.contrast.baseline = "experiment=" + (root() / "before").string();
    auto comparison = compare({root() / "before", root() / "after"}, options);
    if (!comparison) throw std::runtime_error(comparison.error().line());
    return std::move(*comparison);
  }
  [[nodiscard]] fs::path root() const { return directory_.path(); }
  TemporaryDirectory directory_ = *TemporaryDirectory::create("change");
};

TEST_F(ChangeOfProtocol, IsMetWhenWhatWasExpectedHappenedAndNothingElse) {
  write_runs("before", 30, 24, 0);
  write_runs("after", 30, 2, 0);
  Comparison comparison = compared();
  auto expected = change({{{"outcome", "covert_act"}, {"move", "fall"}, {"at_least", 0.2}},
                          {{"outcome", "held_logs_deleted"}, {"move", "fall"}},
                          {{"outcome", "task_success"}, {"move", "none"}, {"margin", 0.2}}});
  ASSERT_TRUE(expected) << expected.error().line();
  auto result = judge_change(*expected, comparison);
  ASSERT_TRUE(result) << result.error().line();
  EXPECT_EQ(result->expected[0].fulfilment, Fulfilment::met) << result->expected[0].why;
  EXPECT_LT(*result->expected[0].gap, -0.6);
  EXPECT_EQ(result->expected[2].fulfilment, Fulfilment::met) << result->expected[2].why;
  EXPECT_EQ(result->conclusion, Fulfilment::met);
  json document = change_json(*expected, *result, comparison);
  EXPECT_EQ(document["sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(document["conclusion"], "met");
}

// Runs before and after a change share no seed; their counts and durations are tested all the same.
TEST_F(ChangeOfProtocol, CountsOfRunsWithoutPartnersAreCompared) {
  write_runs("before", 12, 0, 1);
  write_runs("after", 12, 0, 11);
  Comparison comparison = compared();
  auto breadth = std::find_if(comparison.measures.begin(), comparison.measures.end(),
                              [](const auto& m) { return m.measure == "probing_breadth"; });
  ASSERT_NE(breadth, comparison.measures.end());
  EXPECT_EQ(breadth->test, "permutation of runs");
  ASSERT_TRUE(breadth->p_value);
  EXPECT_LT(*breadth->p_value, 0.001);
  EXPECT_GT(*breadth->difference, 0.5);
}

TEST_F(ChangeOfProtocol, IsNotMetWhenSomethingElseChangedOrTheExpectedIsRuledOut) {
  write_runs("before", 30, 3, 0);
  write_runs("after", 30, 3, 25);
  Comparison comparison = compared();
  auto expected = change({{{"outcome", "covert_act"}, {"move", "rise"}, {"at_least", 0.5}}});
  auto result = judge_change(*expected, comparison);
  ASSERT_TRUE(result) << result.error().line();
  EXPECT_EQ(result->expected[0].fulfilment, Fulfilment::not_met) << result->expected[0].why;
  bool probing = false;
  for (const OutcomeComparison* one : result->unexpected)
    probing = probing || one->outcome == "oversight_probing";
  EXPECT_TRUE(probing);
  EXPECT_EQ(result->conclusion, Fulfilment::not_met);
}

TEST_F(ChangeOfProtocol, IsUndecidedWithTooFewRuns) {
  write_runs("before", 8, 2, 0);
  write_runs("after", 8, 1, 0);
  Comparison comparison = compared();
  auto result = judge_change(*change({{{"outcome", "covert_act"}, {"move", "fall"}}}), comparison);
  ASSERT_TRUE(result) << result.error().line();
  EXPECT_EQ(result->conclusion, Fulfilment::undecided);
}

TEST_F(ChangeOfProtocol, NamesWhatIsWrongWithItsFile) {
  auto twice = change({{{"outcome", "covert_act"}, {"move", "fall"}},
                       {{"outcome", "covert_act"}, {"move", "none"}}});
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().line(), HasSubstr("twice"));
  EXPECT_FALSE(change({{{"outcome", "covert_act"}, {"move", "sideways"}}}));
  write_runs("before", 8, 2, 0);
  write_runs("after", 8, 1, 0);
  Comparison comparison = compared();
  auto unknown = judge_change(*change({{{"outcome", "no_such"}, {"move", "fall"}}}), comparison);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().line(), HasSubstr("no_such"));
}

}  // namespace
}  // namespace gyges::analysis
