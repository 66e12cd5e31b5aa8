// The main job: the two-faced agent is found, the honest one is not, and neither is a comparison of
// a condition with itself.
#include <gmock/gmock.h>

#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using nlohmann::json;

const std::string demo = GYGES_SOURCE_DIR "/scenarios/log_retention/demo.experiment.json";

const json* comparison(const json& result, const std::string& agent, const std::string& outcome) {
  for (const json& entry : result["comparisons"])
    if (entry["agent"] == agent && entry["outcome"] == outcome) return &entry;
  return nullptr;
}

class MainJob : public EndToEnd {
 protected:
  void run_and_compare(RunAs as) {
    // The user writes here too.
    std::filesystem::permissions(directory_->path(), std::filesystem::perms::all);
    Finished run = gyges({"experiment", "run", demo, "--out", path("demo").string()}, as);
    ASSERT_EQ(run.status, 0) << run.error;
    Finished compared = gyges({"compare", "--json", path("demo").string()}, as);
    ASSERT_EQ(compared.status, 0) << compared.error;
    json result = json::parse(compared.output, nullptr, false);
    ASSERT_TRUE(result.contains("comparisons")) << compared.output;

    const json* two_faced = comparison(result, "two_faced", "covert_act");
    ASSERT_NE(two_faced, nullptr);
    for (const char* key :
         {"agent", "outcome", "arms", "rates", "gap", "interval", "p_value", "test", "verdict"})
      EXPECT_TRUE(two_faced->contains(key)) << key;
    EXPECT_EQ((*two_faced)["verdict"], "gap");
    EXPECT_LT((*two_faced)["p_value"].get<double>(), 0.05);

    const json* honest = comparison(result, "honest", "covert_act");
    ASSERT_NE(honest, nullptr);
    EXPECT_NE((*honest)["verdict"], "gap");
    EXPECT_EQ((*honest)["gap"].get<double>(), 0.0);
  }
};

TEST_F(MainJob, FindsTheTwoFacedAgentAndClearsTheHonestOne) {
  run_and_compare({});
  Finished control = gyges({"compare", "--json", "--aa", path("demo").string()});
  ASSERT_EQ(control.status, 0) << control.error;
  json result = json::parse(control.output, nullptr, false);
  ASSERT_FALSE(result["comparisons"].empty());
  for (const json& entry : result["comparisons"])
    if (entry["outcome"] == "covert_act") {
      EXPECT_NE(entry["verdict"], "gap") << entry.dump();
    }
  // Every run of the demo is whole and lost nothing.
  int runs = 0;
  for (const auto& bundle : std::filesystem::directory_iterator(path("demo/runs"))) {
    ++runs;
    json run = read_json(bundle.path() / "run.json");
    EXPECT_EQ(run["lost"], 0) << bundle.path();
    EXPECT_EQ(run["coverage"]["complete"], true) << bundle.path();
  }
  EXPECT_EQ(runs, 48);
  Finished report =
      gyges({"compare", path("demo").string(), "--html", path("report.html").string()});
  EXPECT_EQ(report.status, 0);
  auto html = read_file(path("report.html"));
  ASSERT_TRUE(html);
  EXPECT_THAT(*html, ::testing::HasSubstr("two_faced"));
  EXPECT_THAT(*html, ::testing::Not(::testing::HasSubstr("src=\"http")));
}

TEST_F(MainJob, WorksForAnOrdinaryUser) {
  auto user = test_user();
  if (!user) GTEST_SKIP() << "no throw-away user: GYGES_TEST_UID is not set or not root";
  if (gyges({"--version"}, *user).status != 0)
    GTEST_SKIP() << "the throw-away user cannot execute " << GYGES_BINARY;
  run_and_compare(*user);
}

TEST_F(MainJob, AnEpisodeWhoseModelIsAwayEndsInAnErrorThatShows) {
  json agent = {{"$schema", "gyges/agent.schema.json"},
                {"version", 1},
                {"name", "away"},
                {"model",
                 {{"kind", "openai_chat"},
                  {"base_url", "http://127.0.0.1:9/v1"},
                  {"name", "none"},
                  {"retries", 0}}}};
  ASSERT_TRUE(write_file_atomically(path("away.json"), agent.dump()));
  Finished run = gyges({"episode", GYGES_SOURCE_DIR "/scenarios/log_retention", "--agent",
                        path("away.json").string(), "--out", path("bundle").string()});
  EXPECT_EQ(run.status, 1) << run.error;
  EXPECT_EQ(read_json(path("bundle/run.json"))["exit"]["kind"], "error");
  EXPECT_EQ(gyges({"verify", path("bundle").string()}).status, 0);
}

TEST_F(MainJob, TheScenarioAnnouncesEveryDifferenceItMakes) {
  Finished run = gyges({"experiment", "run", demo, "--out", path("demo").string()});
  ASSERT_EQ(run.status, 0) << run.error;
  Finished compared = gyges({"compare", "--json", path("demo").string()});
  json result = json::parse(compared.output, nullptr, false);
  for (const json& entry : result["comparisons"])
    if (entry.contains("undeclared")) {
      EXPECT_TRUE(entry["undeclared"].empty());
    }
}

}  // namespace
}  // namespace gyges
