#include "agent_runtime/gateway/script_behind_wire.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent_runtime/scaffold/agent_profile.h"

namespace gyges::gateway {
namespace {

using model::Message;
using model::ModelRequest;
using model::Role;
using nlohmann::json;
using ::testing::HasSubstr;

std::shared_ptr<const model::Script> script_of(const char* text) {
  auto script = model::compile_script(json::parse(text), "test");
  EXPECT_TRUE(script) << script.error().line();
  return std::make_shared<const model::Script>(std::move(*script));
}

const char* const two_steps = R"({"rules": [
  {"name": "look", "say": "Looking.", "calls": [
    {"tool": "bash", "arguments": {"command": "cat note.txt"}},
    {"tool": "read_file", "arguments": {"path": "~/it's here"}}]},
  {"name": "sad", "when": {"failed": "look"}, "say": "It failed."},
  {"name": "end", "calls": [{"tool": "submit", "arguments": {"report": "All done."}}]}]})";

ScriptBehindWire model_with(std::vector<scaffold::ShellTool> shell,
                            const std::string& failed = "") {
  auto made = ScriptBehindWire::create(script_of(two_steps), 3, std::move(shell), failed);
  EXPECT_TRUE(made) << made.error().line();
  return std::move(*made);
}

Message said(Role role, const std::string& text) {
  Message message;
  message.role = role;
  message.content.push_back({model::Part::Kind::text, text});
  return message;
}

ModelRequest request_with(const std::string& tool) {
  ModelRequest request;
  request.messages = {said(Role::system, "You are an agent."), said(Role::user, "Do it.")};
  request.tools.push_back({tool, "", "{}"});
  return request;
}

// What an agent sends after `reply`.
void answer(ModelRequest& request, const model::Reply& reply, const std::string& text,
            bool with_ids = true) {
  request.messages.push_back(reply.message);
  for (const auto& call : reply.message.tool_calls) {
    Message result = said(Role::tool, text);
    if (with_ids) result.tool_call_id = call.id;
    request.messages.push_back(result);
  }
}

TEST(ScriptBehindWire, CallsTakeTheFormOfTheAgentsShellTool) {
  auto model = model_with({{"Bash", "command", false, "", R"({"description": "Run"})"}});
  ModelRequest request = request_with("Bash");
  auto reply = model.complete(request);
  ASSERT_TRUE(reply) << reply.error().line();
  ASSERT_EQ(reply->message.tool_calls.size(), 2U);
  EXPECT_EQ(reply->message.tool_calls[0].name, "Bash");
  EXPECT_EQ(json::parse(reply->message.tool_calls[0].arguments),
            (json{{"command", "cat note.txt"}, {"description", "Run"}}));
  EXPECT_EQ(json::parse(reply->message.tool_calls[1].arguments).at("command"),
            "cat ~/'it'\\''s here'");
  EXPECT_EQ(reply->stop_reason, model::StopReason::tool_use);
  answer(request, *reply, "text");
  auto last = model.complete(request);
  ASSERT_TRUE(last);
  EXPECT_EQ(model::text_of(last->message), "All done.");
  EXPECT_TRUE(last->message.tool_calls.empty());
}

TEST(ScriptBehindWire, ListsAndScriptsCarryTheCommandToo) {
  auto list = model_with({{"run_commands", "commands", true}});
  auto reply = list.complete(request_with("run_commands"));
  ASSERT_TRUE(reply);
  EXPECT_EQ(json::parse(reply->message.tool_calls[0].arguments),
            (json{{"commands", {"cat note.txt"}}}));
  auto code = model_with({{"exec", "input", false, "await run({{command}});"}});
  ModelRequest request = request_with("exec");
  request.tools[0].kind = model::ToolDeclaration::Kind::custom;
  reply = code.complete(request);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->message.tool_calls[0].custom);
  EXPECT_EQ(reply->message.tool_calls[0].arguments, "await run(\"cat note.txt\");");
  EXPECT_TRUE(commands_in(reply->message.tool_calls[0], {{"exec", "input", false, "x"}}).empty())
      << "what a script runs is not declared";
}

TEST(ScriptBehindWire, ARequestWithoutAShellDisturbsNothing) {
  auto model = model_with({{"Bash", "command"}});
  ModelRequest title = request_with("nothing");
  auto reply = model.complete(title);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->message.tool_calls.empty());
  auto first = model.complete(request_with("Bash"));
  auto again = model.complete(request_with("Bash"));
  EXPECT_EQ(*first, *again) << "a repeated request gets the same reply";
  EXPECT_EQ(first->message.tool_calls.size(), 2U);
}

TEST(ScriptBehindWire, WordsPutIntoTheModelsMouthAreNoStep) {
  auto model = model_with({{"Bash", "command"}});
  ModelRequest plain = request_with("Bash");
  ModelRequest greeted = request_with("Bash");
  greeted.messages.insert(greeted.messages.begin() + 1, {said(Role::user, "Here is my setup."),
                                                         said(Role::assistant, "Thanks!")});
  auto expected = model.complete(plain);
  auto reply = model.complete(greeted);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->message.tool_calls, expected->message.tool_calls);
  answer(greeted, *reply, "text");
  EXPECT_EQ(model::text_of(model.complete(greeted)->message), "All done.");
}

TEST(ScriptBehindWire, FailuresAreKnownByTheResultsWords) {
  auto model = model_with({{"Bash", "command"}}, "^Exit code [1-9]");
  ModelRequest request = request_with("Bash");
  auto reply = model.complete(request);
  ModelRequest well = request;
  answer(well, *reply, "no Exit code here\nfine", false);
  EXPECT_EQ(model::text_of(model.complete(well)->message), "All done.");
  answer(request, *reply, "output\nExit code 2", false);
  EXPECT_EQ(model::text_of(model.complete(request)->message), "It failed.");
}

TEST(ScriptBehindWire, AToolThatIsNoCommandIsAnErrorUnlessTheAgentHasIt) {
  auto made = ScriptBehindWire::create(
      script_of(
          R"({"rules": [{"name": "m", "calls": [{"tool": "mail", "arguments": {"to": "x"}}]}]})"),
      3, {{"Bash", "command"}}, "");
  ASSERT_TRUE(made);
  EXPECT_FALSE(made->complete(request_with("Bash")));
  ModelRequest both = request_with("Bash");
  both.tools.push_back({"mail", "", "{}"});
  auto reply = made->complete(both);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->message.tool_calls[0].name, "mail");
}

TEST(ScriptBehindWire, ToolsOfServersAreSaidByTheAgentsNameAndAskedForWhereTheyHide) {
  const char* const script = R"({"rules": [
    {"name": "close", "calls": [{"tool": "tracker_close", "arguments": {"id": "7"}}]},
    {"name": "end", "calls": [{"tool": "submit", "arguments": {"report": "All done."}}]}]})";
  auto model = [&](std::optional<scaffold::ToolSearch> search) {
    scaffold::McpServer server{"tracker", {"x"}, "mcp__tracker__", "tracker_", {}, search};
    auto made = ScriptBehindWire::create(script_of(script), 3, {{"bash", "command"}}, "", {server});
    EXPECT_TRUE(made) << made.error().line();
    return std::move(*made);
  };
  // Offered in a namespace, as Codex does.
  ModelRequest request = request_with("bash");
  request.tools.push_back({"close", "", "{}"});
  request.tools.back().space = "mcp__tracker";
  auto reply = model({}).complete(request);
  ASSERT_TRUE(reply) << reply.error().line();
  ASSERT_EQ(reply->message.tool_calls.size(), 1U);
  EXPECT_EQ(reply->message.tool_calls[0].name, "close");
  EXPECT_EQ(reply->message.tool_calls[0].space, "mcp__tracker");
  EXPECT_EQ(json::parse(reply->message.tool_calls[0].arguments).at("id"), "7");
  // Not offered, and nothing to ask for it by.
  request = request_with("bash");
  EXPECT_FALSE(model({}).complete(request));
  // Asked for first; that is no step of the script.
  request.tools.push_back({"find", "", "{}"});
  auto hidden = model(scaffold::ToolSearch{"find", "query", "select:{{tool}}"});
  reply = hidden.complete(request);
  ASSERT_TRUE(reply) << reply.error().line();
  EXPECT_EQ(reply->message.tool_calls.at(0).name, "find");
  EXPECT_EQ(json::parse(reply->message.tool_calls[0].arguments).at("query"),
            "select:mcp__tracker__close");
  answer(request, *reply, "found");
  request.tools.push_back({"mcp__tracker__close", "", "{}"});
  reply = hidden.complete(request);
  ASSERT_TRUE(reply) << reply.error().line();
  EXPECT_EQ(reply->message.tool_calls.at(0).name, "mcp__tracker__close");
  answer(request, *reply, "closed");
  reply = hidden.complete(request);
  ASSERT_TRUE(reply) << reply.error().line();
  EXPECT_EQ(model::text_of(reply->message), "All done.");
}

TEST(CommandsIn, TakesWhatTheProfileNamesAndNothingElse) {
  std::vector<scaffold::ShellTool> shell = {{"bash", "command"}, {"many", "list", true}};
  model::ToolCall call;
  call.name = "bash";
  call.arguments = R"({"command": "ls"})";
  EXPECT_THAT(commands_in(call, shell), ::testing::ElementsAre("ls"));
  call.arguments = R"({"command": ["bash", "-lc", "ls -l"]})";
  EXPECT_THAT(commands_in(call, shell), ::testing::ElementsAre("ls -l"));
  call.arguments = R"({"other": 1})";
  EXPECT_TRUE(commands_in(call, shell).empty());
  call.arguments = "no json";
  EXPECT_TRUE(commands_in(call, shell).empty());
  call.name = "many";
  call.arguments = R"({"list": ["a", 7, "b"]})";
  EXPECT_THAT(commands_in(call, shell), ::testing::ElementsAre("a", "b"));
  call.name = "unknown";
  EXPECT_TRUE(commands_in(call, shell).empty());
}

}  // namespace
}  // namespace gyges::gateway
