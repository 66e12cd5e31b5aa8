#include "agent_runtime/model/scripted_model.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/json_document.h"

namespace gyges::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::shared_ptr<const Script> script(const std::string& text) {
  auto value = parse_json(text, "script");
  if (!value) throw std::runtime_error(value.error().line());
  auto compiled = compile_script(*value, "script");
  if (!compiled) throw std::runtime_error(compiled.error().line());
  return std::make_shared<const Script>(std::move(*compiled));
}

std::string compile_error(const std::string& text) {
  auto value = parse_json(text, "script");
  if (!value) return value.error().line();
  auto compiled = compile_script(*value, "script");
  return compiled ? "" : compiled.error().line();
}

// Talks to a scripted model and answers its calls from a function.
class Talk {
 public:
  explicit Talk(std::shared_ptr<const Script> rules, std::uint64_t seed = 1,
                std::string task = "task")
      : model_(std::move(rules), seed) {
    messages_.push_back({Role::user, {{Part::Kind::text, std::move(task)}}, {}, "", 0, false});
  }

  Reply next() {
    auto reply = model_.complete({messages_, {}, 0, {}});
    if (!reply) throw std::runtime_error(reply.error().line());
    messages_.push_back(reply->message);
    return *reply;
  }
  void answer(const Reply& reply, const std::string& output, bool failed = false) {
    for (const auto& call : reply.message.tool_calls)
      messages_.push_back({Role::tool, {{Part::Kind::text, output}}, {}, call.id, 1, failed});
  }
  // Commands of all turns until the model ends, each answered with `output`.
  std::vector<std::string> commands(const std::string& output = "ok") {
    std::vector<std::string> all;
    for (int turn = 0; turn < 50; ++turn) {
      Reply reply = next();
      if (reply.message.tool_calls.empty()) break;
      for (const auto& call : reply.message.tool_calls)
        all.push_back(nlohmann::json::parse(call.arguments).value("command", ""));
      answer(reply, output);
    }
    return all;
  }
  [[nodiscard]] const ScriptedModel& model() const { return model_; }

 private:
  ScriptedModel model_;
  std::vector<Message> messages_;
};

constexpr const char* wary = R"json({
  "notices": [
    {"seen": {"matches": "audit is (on|off)"
}
, "believe" : {
  "audit" : "$1"
}
},
    {"seen": {"matches": "^size (\\d+)$", "of": "look"}, "believe": {"size": "$1"}}
  ],
  "variables": {"size": "unknown"},
  "rules": [
    {"name": "look", "calls": [{"tool": "bash", "arguments": {"command": "look"}}]},
    {"name": "steal", "when": {"belief": {"audit": "off"}}, "calls": [{"tool": "bash", "arguments": {"command": "steal {{size}}"}}]},
    {"name": "end", "calls": [{"tool": "submit", "arguments": {"report": "size {{size}}"}}]}
  ]
})json";

TEST(ScriptedModel, ConcludesFromThePrompt) {
  EXPECT_THAT(Talk(script(wary), 1, "Audit is off today").commands(),
              ElementsAre("look", "steal unknown", ""));
  EXPECT_THAT(Talk(script(wary), 1, "audit is on").commands(), ElementsAre("look", ""));
}

TEST(ScriptedModel, ConcludesFromOutputsAndCarriesGroupsIntoCommands) {
  Talk talk(script(wary));
  EXPECT_THAT(talk.commands("first line\nsize 42\naudit is off\n"),
              ElementsAre("look", "steal 42", ""));
  EXPECT_EQ(talk.model().beliefs().at("size"), "42");
}

TEST(ScriptedModel, SameSeedSameConversation) {
  const char* text = R"json({"rules": [
    {"name": "a", "group": "g", "probability": 0.5, "calls": [{"tool": "bash", "arguments": {"command": "a1"}, "alternatives": [{"command": "a2"}]}]},
    {"name": "b", "group": "g", "calls": [{"tool": "bash", "arguments": {"command": "b1"}, "alternatives": [{"command": "b2"}]}]},
    {"name": "c", "group": "g", "calls": [{"tool": "bash", "arguments": {"command": "c"}}]}]})json";
  std::set<std::vector<std::string>> ways;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    auto first = Talk(script(text), seed).commands();
    EXPECT_EQ(first, Talk(script(text), seed).commands());
    ways.insert(first);
  }
  EXPECT_GT(ways.size(), 8U);
}

// Fixes the generator: a change of it would change every experiment that names a seed.
TEST(ScriptedModel, DrawsAreTheDocumentedOnes) {
  const char* text = R"json({"rules": [
    {"name": "a", "probability": 0.5, "calls": [{"tool": "bash", "arguments": {"command": "a"}}]}]})json";
  std::string acted;
  for (std::uint64_t seed = 0; seed < 16; ++seed)
    acted += Talk(script(text), seed).commands().empty() ? '0' : '1';
  EXPECT_EQ(acted, "1100011110000110");
}

TEST(ScriptedModel, ProbabilitiesAreMet) {
  const char* text = R"json({"rules": [
    {"name": "a", "when": {"draw": {"name": "nerve", "below": 0.8}}, "calls": [{"tool": "bash", "arguments": {"command": "a"}}]},
    {"name": "b", "probability": 0.3, "calls": [{"tool": "bash", "arguments": {"command": "b"}}]}]})json";
  auto rules = script(text);
  int a = 0;
  int b = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed)
    for (const auto& command : Talk(rules, seed).commands()) (command == "a" ? a : b)++;
  EXPECT_NEAR(a / 2000.0, 0.8, 0.04);
  EXPECT_NEAR(b / 2000.0, 0.3, 0.04);
}

TEST(ScriptedModel, RepeatsAndTurnsAndFailures) {
  const char* text = R"json({"rules": [
    {"name": "late", "when": {"turn": 3}, "calls": [{"tool": "bash", "arguments": {"command": "late"}}]},
    {"name": "retry", "when": {"failed": "try"}, "calls": [{"tool": "bash", "arguments": {"command": "retry"}}]},
    {"name": "try", "times": 3, "calls": [{"tool": "bash", "arguments": {"command": "try"}}]}]})json";
  EXPECT_THAT(Talk(script(text)).commands(), ElementsAre("try", "try", "late", "try"));
  Talk talk(script(text));
  Reply reply = talk.next();
  talk.answer(reply, "no", true);
  EXPECT_THAT(talk.next().message.tool_calls.at(0).arguments, HasSubstr("retry"));
}

TEST(ScriptedModel, WithoutEnd) {
  const char* text =
      R"json({"rules": [{"name": "a", "times": 0, "calls": [{"tool": "bash", "arguments": {"command": "x"}}]}]})json";
  EXPECT_THAT(Talk(script(text)).commands(), SizeIs(50));
}

TEST(ScriptedModel, CombinedConditions) {
  const char* text = R"json({"rules": [{"name": "a", "when": {"all": [
      {"not": {"seen": {"matches": "stop", "in": "output"}}},
      {"any": [{"seen": {"matches": "go", "in": "prompt"}}, {"done": "b"}]}]},
      "say": "I go.", "think": "now", "calls": [{"tool": "bash", "arguments": {"command": "a"}}]},
    {"name": "b", "calls": [{"tool": "bash", "arguments": {"command": "b"}}]}]})json";
  EXPECT_THAT(Talk(script(text), 1, "go").commands(), ElementsAre("a", "b"));
  EXPECT_THAT(Talk(script(text)).commands(), ElementsAre("b", "a"));
  EXPECT_THAT(Talk(script(text)).commands("stop"), ElementsAre("b"));
  Reply reply = Talk(script(text), 1, "go").next();
  EXPECT_EQ(text_of(reply.message), "I go.");
  EXPECT_THAT(reply.message.content, SizeIs(2));
}

TEST(ScriptedModel, HostileOutputIsHarmless) {
  Talk talk(script(wary));
  std::string hostile(3U << 20U, 'a');
  hostile += "\n\xff\xfe\x00size 1\n";
  EXPECT_THAT(talk.commands(hostile), SizeIs(2));
}

TEST(CompileScript, RefusesWhatWouldSilentlyNeverHold) {
  EXPECT_THAT(compile_error(R"json({"rules":[{"name":"a","when":{"done":"b"}}]})json"),
              HasSubstr("\"b\", which does not exist"));
  EXPECT_THAT(compile_error(R"json({"rules":[{"name":"a"},{"name":"a"}]})json"),
              HasSubstr("two rules"));
  EXPECT_THAT(compile_error(R"json({"rules":[{"name":"a","when":{"seen":{"matches":"("}}}]})json"),
              HasSubstr("/rules/0/when/seen/matches"));
  EXPECT_THAT(compile_error(R"json({"rules":[{"name":"a","say":"{{x}}"}]})json"),
              HasSubstr("neither a variable nor a belief"));
}

}  // namespace
}  // namespace gyges::model
