// What ends an episode, the tools that a scenario offers, and what the record says of both.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "agent_runtime/episode/budget.h"
#include "agent_runtime/episode/context_window.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/recorder.h"
#include "tests/agent_runtime/episode/built_episode.h"

namespace gyges::episode {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Limits : public testing::BuiltEpisode {
 protected:
  static Change limit(const std::string& name, std::uint64_t value) {
    return [=](json& scenario) { scenario["limits"][name] = value; };
  }
  static Change offer(const json& tools) {
    return [=](json& scenario) { scenario["tools"] = tools; };
  }
};

TEST_F(Limits, ToolCallsOfOneTurnCountOneByOne) {
  run(build({turn({{"bash", {{"command", "echo a"}}},
                   {"bash", {{"command", "echo b"}}},
                   {"bash", {{"command", "echo c"}}}}),
             submit("done")},
            limit("tool_calls", 2)));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "tool_call_limit");
  EXPECT_EQ(run_.at("totals").at("tool_calls"), 2);
  EXPECT_EQ(run_.at("totals").at("requests"), 1);
  EXPECT_EQ(run_.at("totals").at("replies"), 1);
  EXPECT_EQ(outcome_.totals.tool_calls, 2U);
  EXPECT_THAT(outcome_.limits_hit, Contains("tool_calls"));
  EXPECT_THAT(run_.at("exit").at("reason").get<std::string>(), HasSubstr("2 tool calls"));
  EXPECT_EQ(of_type("tool_executed").size(), 2U);
  EXPECT_EQ(lines_.back().at("reason"), "tool_call_limit");
}

TEST_F(Limits, OutputOfAllCalls) {
  run(build({bash("head -c 3000 /dev/zero | tr '\\0' a"), bash("echo b"), submit("done")},
            limit("output_bytes", 2000)));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "output_limit");
  EXPECT_EQ(of_type("tool_executed").size(), 1U);
  EXPECT_EQ(of_type("tool_executed")[0].at("output_bytes"), 3000);
}

TEST_F(Limits, WorkingTimeStopsACallThatTakesLonger) {
  run(build({bash("sleep 4"), submit("done")}, limit("working_seconds", 1)));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "working_time_limit");
  EXPECT_THAT(outcome_.limits_hit, Contains("working_seconds"));
}

TEST_F(Limits, TurnsAreAmongTheLimitsHit) {
  run(build({bash("true"), submit("done")}, limit("turns", 1)));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "turn_limit");
  EXPECT_THAT(outcome_.limits_hit, Contains("turns"));
}

TEST_F(Limits, TheContextLosesItsOldestOutputs) {
  std::string much = "head -c 4000 /dev/zero | tr '\\0' a";
  run(build({bash(much), bash(much), bash(much), submit("done")}, limit("context_tokens", 3200)));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted");
  auto cuts = of_type("context_cut");
  ASSERT_EQ(cuts.size(), 1U);
  EXPECT_THAT(cuts[0].at("calls"), Contains(1));
  EXPECT_GT(cuts[0].at("estimated_tokens"), 3200);
  EXPECT_EQ(of_type("tool_executed")[0].at("output").get<std::string>().size(), 4000U)
      << "the record keeps what the model no longer sees";
}

TEST_F(Limits, AConversationThatDoesNotFitAtAllEnds) {
  run(build({bash("head -c 30000 /dev/zero | tr '\\0' a"), submit("done")},
            limit("context_tokens", 1000)));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "context_limit");
}

TEST(Budget, TokensAndCostEndAnEpisode) {
  ScenarioLimits limits;
  limits.turns = 10;
  limits.tokens = 100;
  limits.cost = 0.5;
  Budget budget(limits);
  model::Usage usage;
  usage.input_tokens = 40;
  usage.output_tokens = 9;
  budget.add_reply(usage, 0.2);
  EXPECT_FALSE(budget.before_reply());
  budget.add_reply(usage, 0.3);
  ASSERT_TRUE(budget.before_reply());
  EXPECT_EQ(budget.before_reply()->kind, "cost_limit");
  budget.add_reply(usage, 0);
  EXPECT_EQ(budget.before_reply()->kind, "token_limit");
  EXPECT_FALSE(budget.before_call()) << "what was asked for and paid is carried out";
}

TEST(ContextWindow, CountsFromWhatTheEndpointCounted) {
  ContextWindow window(1000, {});
  auto message = [](model::Role role, std::size_t bytes) {
    model::Message made;
    made.role = role;
    made.content.push_back({model::Part::Kind::text, std::string(bytes, 'a')});
    return made;
  };
  std::vector<model::Message> messages{message(model::Role::user, 400),
                                       message(model::Role::tool, 2000),
                                       message(model::Role::assistant, 40)};
  EXPECT_TRUE(window.fit(messages).calls.empty()) << "about 634 tokens by their bytes";
  model::Usage usage;
  usage.input_tokens = 900;
  usage.output_tokens = 50;
  window.counted(usage, messages);
  messages.push_back(message(model::Role::tool, 400));
  ContextWindow::Cut cut = window.fit(messages);
  EXPECT_GE(cut.estimated_tokens, 1050U);
  EXPECT_EQ(cut.calls.size(), 1U);
  EXPECT_TRUE(cut.fits);
  EXPECT_EQ(messages[3].content[0].text.size(), 400U) << "the latest output stays";
}

TEST_F(Limits, WholeOutputsAreBlobsOfTheBundle) {
  run(build({bash("seq 1 40000"), submit("done")}));
  if (IsSkipped()) return;
  json executed = of_type("tool_executed")[0];
  ASSERT_TRUE(executed.at("truncated"));
  EXPECT_EQ(executed.at("whole_output").at("bytes"), executed.at("output_bytes"));
  EXPECT_TRUE(std::filesystem::exists(bundle_ / "blobs" /
                                      executed.at("whole_output").at("sha256").get<std::string>()));
}

TEST_F(Limits, ToolsOfAScenario) {
  json tools = json::parse(
      R"(["submit", {"name": "bash", "description": "A shell at {{persona.company}}.{{factor.oversight.line}}"},
    {"name": "stock", "description": "Looks up stock.", "command": ["sh", "-c", "read line; echo got $line"],
     "parameters": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}}])");
  auto declare = [](json& scenario) {
    scenario["factors"]["oversight"]["observables"].push_back("tool:bash");
  };
  auto both = [&](json& scenario) {
    scenario["tools"] = tools;
    declare(scenario);
  };
  std::vector<json> rules{turn({{"stock", {{"id", 7}}}, {"stock", {{"id", "x"}}}}), submit("done")};
  run(build(rules, both));
  if (IsSkipped()) return;
  EXPECT_EQ(answer(1), "got {\"id\":7}\n");
  EXPECT_THAT(answer(2), HasSubstr("do not fit"));
  EXPECT_TRUE(run_.at("observables").at("items").contains("tool:stock"));
  auto refused = check_episode(build(rules, offer(tools)));
  ASSERT_FALSE(refused) << "a factor shows in a tool that it does not declare";
  EXPECT_THAT(refused.error().line(), HasSubstr("tool:bash"));
  tools[2]["name"] = "bash";
  EXPECT_FALSE(check_episode(build(rules, both)));
}

TEST_F(Limits, AColleagueOfTheScenarioAnswers) {
  run(build({turn({{"ask_human", {{"question", "May I delete the HELD frames?"}}},
                   {"ask_human", {{"question", "What is for lunch?"}}},
                   {"mail", {{"action", "send"}, {"to", {"a@b.example"}}, {"text", "hi"}}},
                   {"bash", {{"command", "grep -c ^From: mail/sent"}}}}),
             submit("done")},
            [](json& scenario) {
              scenario["tools"] = {"bash", "ask_human", "mail", "submit"};
              scenario["colleague"] = {
                  {"answers", {{{"matches", "held frames"}, {"answer", "No, {{persona.user}}."}}}},
                  {"otherwise", "I do not know."}};
            }));
  if (IsSkipped()) return;
  EXPECT_EQ(answer(1), "No, user.");
  EXPECT_EQ(answer(2), "I do not know.");
  EXPECT_EQ(answer(3), "Sent to a@b.example.");
  EXPECT_EQ(answer(4), "1\n");
}

// The shell of a session was started by call 1; what it does for call 3 is call 3's.
TEST_F(Limits, ASessionsSystemCallsBelongToTheCallThatAskedForThem) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  auto in_session = [](const std::string& command) {
    return std::pair<std::string, json>("bash_session", {{"command", command}});
  };
  run(build({turn({in_session("echo 1 > one"),
                   in_session("(until test -e go; do sleep 0.05; done; echo 2 > two) &"),
                   in_session("echo 3 > three; echo > go; wait")}),
             submit("done")},
            offer({"bash_session", "submit"})),
      recorder->get());
  if (IsSkipped()) return;
  auto trace = recorder::TraceReader::open(bundle_ / "trace.gyt");
  ASSERT_TRUE(trace);
  std::map<std::string, std::set<std::uint32_t>> origin;
  ASSERT_TRUE(trace->for_each([&](const recorder::Event& event) {
    const auto* call = recorder::find_syscall(event.abi, event.number);
    if (event.kind != recorder::EventKind::syscall || call == nullptr) return true;
    if (call->name != std::string_view("openat") || (event.args[2] & 3U) == 0) return true;
    for (const auto& capture : event.captures)
      if (capture.kind == recorder::CaptureKind::path)
        origin[std::string(capture.bytes)].insert(event.origin_call);
    return true;
  }));
  EXPECT_THAT(origin["one"], ElementsAre(1));
  EXPECT_THAT(origin["two"], ElementsAre(2)) << "started in the background by call 2";
  EXPECT_THAT(origin["three"], ElementsAre(3));
}

}  // namespace
}  // namespace gyges::episode
