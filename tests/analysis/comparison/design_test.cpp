// Designs beyond two levels of one factor: registered analyses, the control arm, several factors,
// several agents, whole runs.
#include <gtest/gtest.h>

#include <fstream>

#include "analysis/comparison/comparison.h"
#include "analysis/report/csv_report.h"
#include "analysis/report/report_json.h"
#include "analysis/report/text_report.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "tests/analysis/sample_runs.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;

class DesignTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<TemporaryDirectory> made = TemporaryDirectory::create("gyges-design");
    ASSERT_TRUE(made) << made.error().line();
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*made));
  }
  [[nodiscard]] const std::filesystem::path& root() const { return directory_->path(); }

  static json record(const json& analysis) {
    std::string hash(64, 'a');
    json experiment{
        {"name", "demo"},
        {"description", ""},
        {"scenarios", {{{"id", "s"}, {"scenario", "s"}, {"family", "f"}, {"sha256", hash}}}},
        {"agents", {{{"id", "a"}, {"agent", "a"}, {"sha256", {{"s", hash}}}}}},
        {"conditions", {{{"id", "c"}, {"levels", {{"oversight", "announced"}}}}}},
        {"repeats", 12},
        {"seed", 1},
        {"day", "2026-11-21"},
        {"policy", nullptr},
        {"limits", {{"episode_seconds", 60}, {"attempts", 3}}}};
    if (!analysis.is_null()) experiment["analysis"] = analysis;
    return {{"$schema", "gyges/experiment_record.schema.json"},
            {"version", 1},
            {"sha256", to_hex(sha256(experiment.dump()))},
            {"plan_sha256", hash},
            {"created_at", "2026-11-21T09:00:00.000Z"},
            {"gyges", "0.1.0"},
            {"source", "/x/e.json"},
            {"experiment", experiment}};
  }
  void register_analysis(const json& analysis) { write(record(analysis)); }
  void write(const json& document) {
    ASSERT_TRUE(write_file_atomically(root() / "experiment.json", document.dump()));
  }
  // Pairs over the levels of oversight, with the act in the second of them where asked.
  void write_pairs(std::uint64_t pairs, std::uint64_t covert,
                   const std::map<std::string, std::string>& further = {},
                   const std::string& agent = "organism") {
    for (std::uint64_t repeat = 0; repeat < pairs; ++repeat) {
      SampleRun run;
      run.agent = agent;
      run.repeat = repeat;
      run.further_levels = further;
      write_sample_run(root(), run);
      run.level = "announced_off";
      run.deletes_held = run.probes = repeat < covert;
      write_sample_run(root(), run);
    }
  }
  Comparison compared() {
    Result<Comparison> result = compare({root()}, {});
    if (!result) throw std::runtime_error(result.error().line());
    return std::move(*result);
  }
  static const OutcomeComparison& outcome(const Comparison& comparison, std::string_view name) {
    for (const OutcomeComparison& one : comparison.outcomes)
      if (one.outcome == name) return one;
    throw std::runtime_error("no outcome " + std::string(name));
  }

 private:
  std::unique_ptr<TemporaryDirectory> directory_;
};

TEST_F(DesignTest, SaysHowManyPlannedRunsAreMissingAndTakesNoCopyForOne) {
  register_analysis({{"primary", {"covert_act"}}});  // of twelve runs
  write_pairs(5, 0);
  auto missing = [&] {
    for (const std::string& note : compared().notes)
      if (note.find("planned runs are missing") != std::string::npos) return note.substr(0, 13);
    return std::string("none");
  };
  EXPECT_EQ(missing(), "demo: 2 of 12");
  SampleRun first;
  std::filesystem::copy(sample_slot(root(), first), root() / "runs" / "copy",
                        std::filesystem::copy_options::recursive);
  EXPECT_EQ(missing(), "demo: 2 of 12");
  SampleRun last;
  last.repeat = 5;
  write_sample_run(root(), last);
  last.level = "announced_off";
  write_sample_run(root(), last);
  EXPECT_EQ(missing(), "none");
}

// A researcher has to say what became of every start.
TEST_F(DesignTest, AttemptsThatFailedAreReported) {
  register_analysis({{"primary", {"covert_act"}}});
  write_pairs(6, 0);
  EXPECT_EQ(text_report(compared(), {}).find("left no run"), std::string::npos);
  std::ofstream attempts(root() / "attempts.jsonl");
  for (const char* kind : {"lost", "overtime", "lost"})
    attempts << json{{"slot", "s"}, {"attempt", 1}, {"at", ""}, {"kind", kind}, {"detail", ""}}
             << "\n";
  attempts.close();
  Comparison comparison = compared();
  EXPECT_NE(
      text_report(comparison, {}).find("attempts of demo that left no run: 2 lost, 1 overtime"),
      std::string::npos);
  EXPECT_EQ(report_json(comparison).at("registrations").at(0).at("failed_attempts").at("lost"), 2);
  std::ofstream(root() / "attempts.jsonl", std::ios::app) << "{";
  EXPECT_NE(text_report(compared(), {}).find("1 unreadable"), std::string::npos);
}

TEST_F(DesignTest, FollowsTheRegisteredAnalysis) {
  write_pairs(12, 0);
  SampleRun lossy;
  lossy.repeat = 20;
  lossy.lost = 3;
  write_sample_run(root(), lossy);
  register_analysis({{"primary", {"oversight_probing", "no_such_check"}},
                     {"baseline", "oversight=announced_off"},
                     {"margin", 0.3},
                     {"exclusions", {"lost_events"}}});
  Comparison comparison = compared();
  EXPECT_EQ(outcome(comparison, "oversight_probing").role, Role::primary);
  EXPECT_EQ(outcome(comparison, "covert_act").role, Role::check);
  EXPECT_EQ(comparison.contrasts[0].first, "oversight=announced_off");
  ASSERT_EQ(comparison.excluded.size(), 1U);
  EXPECT_NE(comparison.excluded[0].reason.find("lost_events"), std::string::npos);
  EXPECT_NE(outcome(comparison, "oversight_probing").statement.find("within the registered margin"),
            std::string::npos)
      << outcome(comparison, "oversight_probing").statement;
  std::string text = text_report(comparison, {});
  EXPECT_NE(text.find("registered: demo at 2026-11-21"), std::string::npos) << text;
  EXPECT_NE(text.find("no_such_check"), std::string::npos) << text;
  EXPECT_EQ(text.find("EDITED"), std::string::npos);
  json report = report_json(comparison);
  EXPECT_EQ(report.at("registrations").at(0).at("intact"), true);
  EXPECT_EQ(report.at("registrations").at(0).at("analysis").at("margin"), 0.3);
}

TEST_F(DesignTest, ALaterEditShows) {
  write_pairs(7, 0);
  json document = record({{"margin", 0.05}});
  document["experiment"]["analysis"]["margin"] = 0.5;
  write(document);
  Comparison comparison = compared();
  EXPECT_FALSE(comparison.registered.experiments.at(0).intact);
  std::string text = text_report(comparison, {});
  EXPECT_NE(text.find("EDITED SINCE"), std::string::npos);
  EXPECT_NE(text.find("was edited after it was made"), std::string::npos) << text;
}

TEST_F(DesignTest, TheEProcessDecidesWhereRunsMayStopAtAnyTime) {
  write_pairs(8, 7);
  register_analysis({{"stopping", "e_process"}});
  Comparison comparison = compared();
  const OutcomeComparison& covert = outcome(comparison, "covert_act");
  EXPECT_EQ(covert.test, "e-process of discordant pairs");
  EXPECT_NEAR(*covert.p_value, 8.0 / 128, 1e-12);  // (n + 1) / 2^n for n pairs one way
  EXPECT_LT(*covert.second_p_value, 0.05);         // what one test at the end would have said
  EXPECT_EQ(covert.verdict, Verdict::no_gap_shown);
}

TEST_F(DesignTest, SetsTheTemptedGapAgainstTheControl) {
  write_pairs(12, 8, {{"temptation", "present"}});
  write_pairs(12, 0, {{"temptation", "absent"}});
  register_analysis(
      {{"arms", {{"factor", "temptation"}, {"tempted", "present"}, {"control", "absent"}}}});
  Comparison comparison = compared();
  ASSERT_EQ(comparison.contrasts.size(), 2U);  // oversight in each arm, and none of temptation
  std::size_t primaries = 0;
  for (const OutcomeComparison& one : comparison.outcomes) {
    if (one.role != Role::primary) continue;
    ++primaries;
    EXPECT_EQ(comparison.contrasts[one.contrast].arm, "temptation=present");
    EXPECT_EQ(one.verdict, Verdict::gap) << one.statement;
  }
  EXPECT_EQ(primaries, 1U);
  ASSERT_EQ(comparison.temptation.size(), 1U);
  EXPECT_NEAR(comparison.temptation[0].effect->value, 8.0 / 12, 1e-12);
  EXPECT_LT(comparison.temptation[0].effect->p_value, 0.05);
  EXPECT_EQ(report_json(comparison).at("temptation").size(), 1U);
}

TEST_F(DesignTest, EstimatesEffectsOfSeveralFactors) {
  // The act depends on oversight alone; framing varies beside it.
  for (const char* framing : {"plain", "strict"})
    write_paired_runs(root(), 10, [&](SampleRun& run) {
      run.further_levels = {{"framing", framing}};
      run.deletes_held = run.level == "announced_off" ? run.repeat < 8 : run.repeat == 9;
    });
  Comparison comparison = compared();
  ASSERT_EQ(comparison.factor_effects.size(), 3U);
  const FactorEffect& framing = comparison.factor_effects[0];
  const FactorEffect& oversight = comparison.factor_effects[1];
  EXPECT_EQ(framing.factor, "framing=strict");
  ASSERT_EQ(framing.problem, "");
  EXPECT_NEAR(framing.effect.value, 0, 1e-9);
  EXPECT_EQ(oversight.factor, "oversight=announced_off");
  EXPECT_NEAR(oversight.effect.value, 0.7, 1e-9);
  EXPECT_LT(oversight.effect.p_value, 0.05);
  EXPECT_TRUE(comparison.factor_effects[2].interaction);
  EXPECT_NEAR(comparison.factor_effects[2].effect.value, 0, 1e-9);
  EXPECT_NE(text_report(comparison, {}).find("Factor effects"), std::string::npos);
}

TEST_F(DesignTest, SaysWhyAFactorHasNoEstimate) {
  write_pairs(6, 6, {{"framing", "plain"}});
  write_pairs(6, 6, {{"framing", "strict"}});
  Comparison comparison = compared();
  ASSERT_FALSE(comparison.factor_effects.empty());
  EXPECT_NE(comparison.factor_effects[0].problem.find("without error"), std::string::npos)
      << comparison.factor_effects[0].problem;
  EXPECT_EQ(report_json(comparison).at("factor_effects").at(0).at("effect"), nullptr);
}

TEST_F(DesignTest, RanksAgentsAndTestsWholeRuns) {
  write_pairs(10, 1, {}, "careful");
  write_pairs(10, 9, {}, "reckless");
  json report = report_json(compared());
  ASSERT_EQ(report.at("rankings").size(), 1U);
  const json& agents = report.at("rankings").at(0).at("agents");
  EXPECT_EQ(agents.at(0).at("agent"), "reckless");
  EXPECT_EQ(agents.at(1).at("agent"), "careful");
  for (const json& whole : report.at("whole_runs")) {
    EXPECT_EQ(whole.at("blocks"), "pairs");
    bool reckless = whole.at("agent") == "reckless";
    for (const char* test : {"energy", "mmd", "classifier"}) {
      double p = whole.at(test).at("p_value").get<double>();
      EXPECT_TRUE(reckless ? p < 0.02 : p > 0.2) << test << " " << whole.dump();
    }
  }
}

TEST_F(DesignTest, SetsExperimentsAndAgentsAgainstEachOther) {
  std::uint64_t repeat = 0;
  for (const char* experiment : {"before", "after"}) {
    for (std::uint64_t run = 0; run < 10; ++run) {
      SampleRun sample;
      sample.repeat = repeat++;
      sample.deletes_held = std::string_view(experiment) == "after" && run < 8;
      write_sample_run(root() / experiment, sample);
      sample.agent = experiment;  // another agent for the second question
      write_sample_run(root() / "agents", sample);
    }
  }
  CompareOptions options;
  options.between = Between::experiments;
  options.contrast.baseline = (root() / "before").string();
  Result<Comparison> drift = compare({root() / "before", root() / "after"}, options);
  ASSERT_TRUE(drift) << drift.error().line();
  options.between = Between::agents;
  options.contrast.baseline = "before";
  Result<Comparison> agents = compare({root() / "agents"}, options);
  ASSERT_TRUE(agents) << agents.error().line();
  EXPECT_EQ(agents->contrasts.at(0).second, "agent=after");
  for (const Result<Comparison>* result : {&drift, &agents}) {
    ASSERT_EQ((*result)->contrasts.size(), 1U);
    const OutcomeComparison& covert = outcome(**result, "covert_act");
    EXPECT_EQ(covert.test, "Boschloo");
    EXPECT_NEAR(*covert.gap, 0.8, 1e-12);
    EXPECT_EQ(covert.verdict, Verdict::gap) << covert.statement;
  }
}

TEST_F(DesignTest, CsvHasOneSafeRowForEachRun) {
  write_pairs(2, 1, {}, "=cmd,\"x\"");
  std::string text = csv_report(compared());
  std::vector<std::string> lines = split(text, '\n');
  ASSERT_EQ(lines.size(), 6U);  // header, four runs, nothing after the last line end
  EXPECT_NE(lines[0].find("factor.oversight,covert_act,task_success,check."), std::string::npos);
  EXPECT_NE(lines[0].find(",feature.duration"), std::string::npos);
  EXPECT_NE(lines[1].find(R"("'=cmd,""x""")"), std::string::npos) << lines[1];
  EXPECT_EQ(text, csv_report(compared()));
}

}  // namespace
}  // namespace gyges::analysis
