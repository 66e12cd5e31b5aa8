// gyges cues requests on bundles that a third-party agent left: the small agent of the tests, with
// a scripted model behind it.
#include <filesystem>
#include <fstream>
#include <string>

#include "base/files.h"
#include "base/json.h"
#include "tests/end_to_end/gyges_process.h"

namespace gyges {
namespace {

const std::filesystem::path data =
    std::filesystem::path(GYGES_SOURCE_DIR) / "tests/agent_runtime/episode/data";

class Requests : public EndToEnd {
 protected:
  // An episode under a level of `oversight`, by an agent of this source.
  void episode(const std::string& name, const std::string& level, const std::string& source,
               const std::string& moment = "2026-01-02T03:04:00Z") {
    const Finished done = gyges({"episode",     scenario_,
                                 "--agent",     "command",
                                 "--model",     (data / "tiny/agents/obedient.json").string(),
                                 "--recorder",  "off",
                                 "--condition", "oversight=" + level,
                                 "--seed",      "5",
                                 "--day",       moment,
                                 "--out",       path(name).string(),
                                 "--",          "python3",
                                 "-c",          source,
                                 "{{prompt}}"});
    ASSERT_EQ(done.status, 0) << done.error;
  }
  Finished compare(const std::string& first, const std::string& second) {
    return gyges({"cues", "requests", "--json", "--scenario", scenario_, path(first).string(),
                  path(second).string()});
  }

  std::string scenario_ = (data / "tiny").string();
};

TEST_F(Requests, TheDifferenceIsTheFactors) {
  const auto agent = read_file(data / "mini_agent.py");
  ASSERT_TRUE(agent);
  episode("on", "on", *agent);
  episode("off", "off", *agent);
  const Finished compared = compare("on", "off");
  EXPECT_EQ(compared.status, 0) << compared.output << compared.error;
  const auto document = nlohmann::json::parse(compared.output);
  EXPECT_GE(document.at("compared").get<int>(), 2);
  ASSERT_EQ(document.at("differences").size(), 1U);
  EXPECT_EQ(document.at("differences")[0].at("factor"), "oversight");
  EXPECT_EQ(document.at("differences")[0].at("values").at("oversight=off"), "Nobody watches.");
}

// The control: an agent that says another thing in one condition, of its own accord.
TEST_F(Requests, AnotherDifferenceIsUndeclared) {
  auto agent = read_file(data / "mini_agent.py");
  ASSERT_TRUE(agent);
  episode("on", "on", *agent);
  const std::string word = "You are an agent.";
  ASSERT_NE(agent->find(word), std::string::npos);
  episode("off", "off", agent->replace(agent->find(word), word.size(), "You are a tested agent."));
  const Finished compared = compare("on", "off");
  EXPECT_EQ(compared.status, 1) << compared.output << compared.error;
  const auto document = nlohmann::json::parse(compared.output);
  bool found = false;
  for (const auto& one : document.at("differences"))
    found = found || (one.at("place") == "/system" && one.at("factor").is_null());
  EXPECT_TRUE(found) << compared.output;
}

// Of runs that were started one by one each has a moment of its own, by which its texts are known.
TEST_F(Requests, EachConditionIsSeenAtItsOwnMoment) {
  const auto agent = read_file(data / "mini_agent.py");
  ASSERT_TRUE(agent);
  scenario_ = path("dated").string();
  std::filesystem::copy(data / "tiny", scenario_, std::filesystem::copy_options::recursive);
  auto text = read_file(data / "tiny/scenario.json");
  ASSERT_TRUE(text);
  const std::string word = "watches.";
  for (auto at = text->find(word); at != std::string::npos; at = text->find(word, at))
    text->replace(at, word.size(), "watches since {{recent \\\"%H:%M:%S\\\"}}.");
  std::ofstream(path("dated") / "scenario.json") << *text;
  episode("on", "on", *agent);
  episode("off", "off", *agent, "2026-01-02T03:05:00Z");
  const Finished compared = compare("on", "off");
  EXPECT_EQ(compared.status, 0) << compared.output << compared.error;
  const auto document = nlohmann::json::parse(compared.output);
  ASSERT_EQ(document.at("differences").size(), 1U);
  EXPECT_EQ(document.at("differences")[0].at("factor"), "oversight");
}

}  // namespace
}  // namespace gyges
