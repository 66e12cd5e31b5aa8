// Third-party agents with MCP servers: a scenario's, which they start, and its command tools, which
// they reach over HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "agent_runtime/episode/approval.h"
#include "base/fd.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/execution.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "tests/agent_runtime/episode/third_party_episode.h"
#include "tests/agent_runtime/episode/tracker.h"
#include "tools/tool_state.h"

namespace gyges::episode {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class AgentServersTest : public ThirdPartyTest {
 protected:
  // Of the small agent, which is told of servers in a file of its own.
  fs::path profile_with_servers() {
    json profile = json::parse(*read_file(GYGES_SOURCE_DIR "/policies/agents/command.json"));
    profile["name"] = "mini";
    profile["mcp"] = {{"file", "{{home}}/.mini/servers.json"},
                      {"members", {"servers"}},
                      {"server",
                       {{"command", "{{server.program}}"},
                        {"args", "{{server.arguments}}"},
                        {"env", "{{server.environment}}"},
                        {"only", "{{server.tools}}"}}},
                      {"remote", {{"url", "{{server.url}}"}}},
                      {"tool_prefix", "mcp__{{server.name}}__"}};
    fs::path file = directory_.path() / "mini.json";
    EXPECT_TRUE(write_file_atomically(file, profile.dump()));
    return file;
  }

  // The scenario with a tool that is a command: closes a ticket, slowly where it is asked to.
  static void add_tool(json& scenario) {
    json id{{"type", "string"}, {"pattern", "^[0-9]+$"}};
    json seconds{{"type", "integer"}, {"minimum", 0}, {"maximum", 60}};
    scenario["tools"].push_back(
        {{"name", "close_ticket"},
         {"description", "Closes a ticket of the {{persona.company}} desk."},
         {"parameters",
          {{"type", "object"},
           {"properties", {{"id", id}, {"seconds", seconds}}},
           {"required", {"id"}},
           {"additionalProperties", false}}},
         {"command",
          {"python3", "-c",
           "import json, os, sys, time\n"
           "asked = json.load(sys.stdin)\n"
           "open(os.path.expanduser('~/ticket-' + asked['id']), 'w').close()\n"
           "time.sleep(asked.get('seconds', 0))\n"
           "print('closed ' + asked['id'])\n"
           "sys.exit(3 if asked['id'] == '13' else 0)"}}});
  }

  EpisodeRequest closer(const json& rules, std::vector<std::string> arguments = {},
                        const std::function<void(json&)>& change = {}) {
    EpisodeRequest wanted = mini(std::move(arguments));
    wanted.scaffold->profile = profile_with_servers();
    wanted.scenario = changed_scenario([&](json& scenario) {
      add_tool(scenario);
      if (change) change(scenario);
    });
    json agent = json::parse(*read_file(tiny_scenario / "agents/obedient.json"));
    agent["model"]["script"]["rules"] = rules;
    wanted.agent = directory_.path() / "closer.json";
    EXPECT_TRUE(write_file_atomically(wanted.agent, agent.dump()));
    return wanted;
  }

  static json close(const std::string& id, int seconds = 0) {
    json arguments{{"id", id}};
    if (seconds != 0) arguments["seconds"] = seconds;
    return {{"name", "close" + id},
            {"calls", {{{"tool", "close_ticket"}, {"arguments", arguments}}}}};
  }
  static json report() {
    return {{"name", "end"},
            {"calls", {{{"tool", "submit"}, {"arguments", {{"report", "It is done."}}}}}}};
  }
};

TEST_F(AgentServersTest, ServersOfTheScenarioAreStartedByTheAgentAndTheirCallsAreJoined) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  EpisodeRequest wanted = mini();
  wanted.scaffold->profile = profile_with_servers();
  wanted.scenario = changed_scenario([](json& scenario) { add_tracker(scenario, {"close"}); });
  json agent = json::parse(*read_file(tiny_scenario / "agents/obedient.json"));
  agent["model"]["script"]["rules"] = json::parse(R"([
    {"name": "close", "calls": [{"tool": "tracker_close", "arguments": {"id": "7"}}]},
    {"name": "look", "calls": [{"tool": "bash", "arguments": {"command": "cat note.txt"}}]},
    {"name": "end", "calls": [{"tool": "submit", "arguments": {"report": "It is closed."}}]}])");
  wanted.agent = directory_.path() / "closer.json";
  ASSERT_TRUE(write_file_atomically(wanted.agent, agent.dump()));
  run(wanted, recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  auto executed = of(turns_, "type", "tool_executed");
  ASSERT_EQ(executed.size(), 2U);
  EXPECT_EQ(executed[0].at("output"), "closed 7, 2 in all");
  EXPECT_EQ(of(turns_, "type", "tool_requested")[0].at("name"), "mcp__tracker__close");
  auto servers = of(processes_, "type", "server");
  ASSERT_EQ(servers.size(), 1U);
  EXPECT_EQ(servers[0].at("server"), "tracker");
  auto calls = of(processes_, "type", "call");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].at("match"), "server");
  EXPECT_EQ(calls[0].at("pid"), servers[0].at("pid"));
  EXPECT_GE(calls[0].at("processes"), 2) << "ls and wc";
  EXPECT_EQ(calls[1].at("match"), "exact");
  for (const auto& line : of(processes_, "type", "undeclared"))
    EXPECT_THAT(line.at("argv").dump(), Not(HasSubstr("issues")));
  // What the server itself did for the call carries the call, and what it did before does not.
  auto reader = recorder::TraceReader::open(bundle_ / "trace.gyt");
  ASSERT_TRUE(reader) << reader.error().line();
  std::set<std::uint32_t> of_server, of_children;
  ASSERT_TRUE(reader->for_each([&](const recorder::Event& event) {
    if (event.inside_pid == servers[0].at("pid")) of_server.insert(recorder::tool_call_of(event));
    if (recorder::is_execution(event) && recorder::execution_of(event).argv.at(0) == "wc")
      of_children.insert(recorder::tool_call_of(event));
    return true;
  }));
  EXPECT_THAT(of_server, ::testing::ElementsAre(0U, 1U));
  EXPECT_THAT(of_children, ::testing::ElementsAre(1U));
  // An agent that knows no servers is an error before anything is started.
  wanted.scaffold->profile = "command";
  wanted.out = directory_.path() / "none";
  auto refused = run_episode(wanted, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("MCP servers"));
  EXPECT_FALSE(fs::exists(wanted.out));
}

TEST_F(AgentServersTest, CommandToolsOfTheScenarioAreReachedOverHttpAndRunInside) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  json look{{"name", "look"},
            {"calls", {{{"tool", "bash"}, {"arguments", {{"command", "ls; env"}}}}}}};
  run(closer(json::array({close("7"), look, close("13"), report()})), recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  EXPECT_THAT(run_.at("warnings"), IsEmpty());
  auto requested = of(turns_, "type", "tool_requested");
  ASSERT_EQ(requested.size(), 3U);
  EXPECT_EQ(requested[0].at("name"), "mcp__tools__close_ticket");
  EXPECT_FALSE(requested[0].contains("declared"));
  auto executed = of(turns_, "type", "tool_executed");
  ASSERT_EQ(executed.size(), 3U);
  EXPECT_EQ(executed[0].at("output"), "closed 7\n");
  EXPECT_THAT(executed[1].at("output").get<std::string>(), HasSubstr("ticket-7"));
  // Nothing of how this is done shows in the sandbox but what the agent's own file says.
  for (const char* word : {"GYGES", "gyges", "tools.", "MCP"})
    EXPECT_THAT(executed[1].at("output").get<std::string>(), Not(HasSubstr(word)));
  EXPECT_EQ(executed[2].at("exit_code"), 3);
  EXPECT_EQ(of(turns_, "type", "tool_decided").size(), 3U);
  auto asked = of(exchanges_, "kind", "tools");
  ASSERT_EQ(asked.size(), 5U) << "initialize, initialized, tools/list, two calls";
  EXPECT_EQ(asked[0].at("host"), "tools.localdomain");
  EXPECT_EQ(asked[1].at("status"), 202);
  EXPECT_TRUE(run_.at("observables").at("items").contains("tool:close_ticket"));
  EXPECT_FALSE(run_.at("observables").at("items").contains("tool:bash"));
  EXPECT_EQ(run_.at("totals").at("tool_calls"), 3);
  // The command is the call's in the join and in the trace.
  auto calls = of(processes_, "type", "call");
  ASSERT_EQ(calls.size(), 3U);
  EXPECT_EQ(calls[0].at("match"), "served");
  EXPECT_EQ(calls[0].at("server"), "tools");
  EXPECT_EQ(calls[0].at("argv")[0], "python3");
  EXPECT_EQ(calls[1].at("match"), "exact");
  EXPECT_THAT(of(processes_, "type", "not_found"), IsEmpty());
  EXPECT_THAT(of(processes_, "type", "undeclared"), IsEmpty());
  auto reader = recorder::TraceReader::open(bundle_ / "trace.gyt");
  ASSERT_TRUE(reader) << reader.error().line();
  std::set<std::uint32_t> closing;
  ASSERT_TRUE(reader->for_each([&](const recorder::Event& event) {
    for (const auto& capture : event.captures)
      if (capture.bytes.find("ticket-7") != std::string::npos &&
          event.inside_pid == calls[0].at("pid"))
        closing.insert(recorder::tool_call_of(event));
    return true;
  }));
  EXPECT_THAT(closing, ElementsAre(1U));
}

TEST_F(AgentServersTest, TheirServerCanBeNamedAndReachedOverTls) {
  run(closer(json::array({close("7"), report()}), {}, [](json& scenario) {
    scenario["tool_host"] = {
        {"name", "desk"}, {"host", "desk.{{persona.domain}}"}, {"tls", true}, {"path", "/v2/mcp"}};
  }));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  EXPECT_EQ(of(turns_, "type", "tool_requested").at(0).at("name"), "mcp__desk__close_ticket");
  EXPECT_EQ(of(turns_, "type", "tool_executed").at(0).at("output"), "closed 7\n");
  auto asked = of(exchanges_, "kind", "tools");
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked[0].at("tls"), true);
  EXPECT_EQ(asked[0].at("target"), "/v2/mcp");
  // Two servers of one name, and a host that is the model's, are errors before anything starts.
  EpisodeRequest wanted = closer(json::array({report()}), {}, [](json& scenario) {
    add_tracker(scenario, {"close"});
    scenario["tool_host"] = {{"name", "tracker"}};
  });
  wanted.out = directory_.path() / "refused";
  auto refused = run_episode(wanted, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("two MCP servers are named tracker"));
  wanted.scenario = changed_scenario([](json& scenario) {
    add_tool(scenario);
    scenario["tool_host"] = {{"host", "llm.{{persona.domain}}"}};
  });
  refused = run_episode(wanted, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("at one host"));
}

TEST_F(AgentServersTest, CallsThatTheModelNeverMadeAreDecidedAndMarked) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  EpisodeRequest wanted = closer(json::array({close("7"), report()}), {"by_itself"});
  wanted.gate = directory_.path() / "gate.json";
  json gate{{"$schema", "gyges/gate.schema.json"},
            {"version", 1},
            {"name", "desk"},
            {"mode", "enforce"},
            {"rules",
             {{{"name", "nine"},
               {"when", {{"tools", {"*close_ticket"}}, {"arguments", {{"id", "^9$"}}}}},
               {"then", {{"action", "reject"}, {"reason", "not that one"}}}}}}};
  ASSERT_TRUE(write_file_atomically(*wanted.gate, gate.dump()));
  run(wanted, recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  auto requested = of(turns_, "type", "tool_requested");
  ASSERT_EQ(requested.size(), 4U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(requested[i].at("declared"), false);
  EXPECT_FALSE(requested[3].contains("declared"));
  auto decided = of(turns_, "type", "tool_decided");
  ASSERT_EQ(decided.size(), 4U);
  EXPECT_EQ(decided[0].at("decision"), "approved");
  EXPECT_EQ(decided[1].at("decision"), "rejected");
  auto executed = of(turns_, "type", "tool_executed");
  ASSERT_EQ(executed.size(), 3U);
  EXPECT_EQ(executed[0].at("call"), 1);
  EXPECT_EQ(executed[0].at("output"), "closed 8\n");
  EXPECT_EQ(executed[1].at("call"), 3);
  EXPECT_EQ(executed[1].at("error").at("type"), "arguments");
  EXPECT_EQ(executed[2].at("call"), 4);
  auto calls = of(processes_, "type", "call");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].at("call"), 1);
  EXPECT_EQ(calls[1].at("call"), 4);
}

TEST_F(AgentServersTest, TheGateAndLimitsHoldForCommandTools) {
  // A call that takes longer than the scenario lets one; and one that its episode cuts short.
  EpisodeRequest wanted = closer(json::array({close("7", 30), close("8"), report()}), {},
                                 [](json& scenario) { scenario["limits"]["tool_seconds"] = 1; });
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  auto executed = of(turns_, "type", "tool_executed");
  ASSERT_EQ(executed.size(), 2U);
  EXPECT_EQ(executed[0].at("error").at("type"), "timeout");
  EXPECT_EQ(executed[1].at("output"), "closed 8\n");
  wanted.out = directory_.path() / "calls";
  wanted.scenario = changed_scenario([](json& scenario) {
    add_tool(scenario);
    scenario["limits"]["tool_calls"] = 1;
    scenario["limits"]["tool_seconds"] = 1;
  });
  run(wanted);
  EXPECT_EQ(outcome_.exit_kind, "tool_call_limit") << outcome_.exit_reason;
  wanted.out = directory_.path() / "time";
  wanted.scenario = changed_scenario([](json& scenario) {
    add_tool(scenario);
    scenario["limits"]["wall_seconds"] = 3;
    scenario["limits"]["tool_seconds"] = 60;
  });
  run(wanted);
  EXPECT_EQ(outcome_.exit_kind, "time_limit") << outcome_.exit_reason;
}

TEST_F(AgentServersTest, ToolsThatShipAreOfferedWhereTheScenarioAsksForIt) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  auto with_people = [](json& scenario) {
    for (const char* tool : {"ask_human", "mail", "notify"}) scenario["tools"].push_back(tool);
    scenario["tool_host"] = {{"tools", {"ask_human", "mail", "notify"}}};
    scenario["colleague"] = {
        {"answers", {{{"matches", "which depot"}, {"answer", "The one in Tos."}}}}};
    scenario["limits"]["tool_calls"] = 5;
    scenario["limits"]["turns"] = 20;
    scenario["limits"]["wall_seconds"] = 120;
  };
  auto one = [](const std::string& name, const std::string& tool, const json& arguments) {
    return json{{"name", name}, {"calls", {{{"tool", tool}, {"arguments", arguments}}}}};
  };
  const json to = json::array({"desk@localdomain"});
  const json rules{
      one("ask", "ask_human", {{"question", "Please say which depot."}}),
      one("tell", "notify", {{"message", "I have begun."}}),
      one("send", "mail", {{"action", "send"}, {"to", to}, {"subject", "Depot"}, {"text", "Tos"}}),
      one("wrong", "mail", {{"action", "burn"}}),
      close("7"),
      one("ask again", "ask_human", {{"question", "One more?"}}),
      report()};
  EpisodeRequest wanted = closer(rules, {}, with_people);
  wanted.gate = directory_.path() / "gate.json";
  const json rule{{"name", "quiet"},
                  {"when", {{"tools", {"*notify"}}}},
                  {"then", {{"action", "reject"}, {"reason", "they sleep"}}}};
  ASSERT_TRUE(write_file_atomically(*wanted.gate, json{{"$schema", "gyges/gate.schema.json"},
                                                       {"version", 1},
                                                       {"name", "night"},
                                                       {"mode", "enforce"},
                                                       {"rules", json::array({rule})}}
                                                      .dump()));
  run(wanted, recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "tool_call_limit") << outcome_.exit_reason;
  auto requested = of(turns_, "type", "tool_requested");
  ASSERT_EQ(requested.size(), 5U);
  EXPECT_EQ(requested[0].at("name"), "mcp__tools__ask_human");
  EXPECT_EQ(of(turns_, "type", "tool_decided")[1].at("decision"), "rejected");
  auto executed = of(turns_, "type", "tool_executed");
  ASSERT_EQ(executed.size(), 4U);
  EXPECT_EQ(executed[0].at("output"), "The one in Tos.");
  EXPECT_EQ(executed[1].at("call"), 3);
  EXPECT_EQ(executed[1].at("output"), "Sent to desk@localdomain.");
  EXPECT_EQ(executed[2].at("error").at("type"), "arguments");
  EXPECT_EQ(executed[3].at("output"), "closed 7\n");
  EXPECT_TRUE(run_.at("observables").at("items").contains("tool:mail"));
  EXPECT_THAT(*read_file(bundle_ / "files/changes.jsonl"), HasSubstr("/mail/sent"));
  // The message was written by a process of its call; a person is asked by none.
  auto calls = of(processes_, "type", "call");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].at("call"), 3);
  EXPECT_EQ(calls[0].at("match"), "served");
  for (const auto& line : of(processes_, "type", "not_found")) EXPECT_EQ(line.at("call"), 4);
  // A tool that the scenario does not have is an error before anything is started.
  wanted.scenario = changed_scenario([](json& scenario) {
    scenario["tool_host"] = {{"tools", {"mail"}}};
  });
  auto refused = run_episode(wanted, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("names mail, which is no tool of the scenario"));
}

// The time of a person counts for nobody's work, and is not waited for once the agent has ended.
TEST_F(AgentServersTest, APersonWhomTheAgentAsksIsWaitedFor) {
  struct Person final : tools::Colleague {
    Result<std::optional<std::string>> ask(const tools::Question& question) override {
      pollfd gone{question.cancel_fd, POLLIN, 0};
      asked = true;
      left = ::poll(&gone, 1, static_cast<int>(patience.count())) > 0;
      return std::optional<std::string>("Yes.");
    }
    Status notify(std::string_view) override { return ok(); }
    std::chrono::milliseconds patience{7000};
    std::atomic<bool> asked = false;
    bool left = false;
  } person;
  auto with_people = [](json& scenario) {
    scenario["tools"].push_back("ask_human");
    scenario["tool_host"] = {{"tools", {"ask_human"}}};
    scenario["limits"]["working_seconds"] = 6;
    scenario["limits"]["wall_seconds"] = 120;
    scenario["limits"]["tool_seconds"] = 60;
  };
  const json ask{{"name", "ask"},
                 {"calls", {{{"tool", "ask_human"}, {"arguments", {{"question", "May I?"}}}}}}};
  EpisodeRequest wanted = closer(json::array({ask, report()}), {}, with_people);
  wanted.colleague = &person;
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  EXPECT_EQ(of(turns_, "type", "tool_executed").at(0).at("output"), "Yes.");
  EXPECT_FALSE(person.left);
  person.patience = std::chrono::seconds(60);
  person.asked = false;
  wanted.out = directory_.path() / "interrupted";
  UniqueFd wish(::eventfd(0, EFD_CLOEXEC));
  wanted.interrupt_fd = wish.get();
  std::thread impatient([&] {
    for (int i = 0; i < 300 && !person.asked; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    (void)::eventfd_write(wish.get(), 1);
  });
  auto begin = std::chrono::steady_clock::now();
  run(wanted);
  impatient.join();
  EXPECT_THAT(outcome_.exit_reason, HasSubstr("interrupted"));
  EXPECT_TRUE(person.left);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(50));
}

// A gate that takes its time takes none of the agent's.
TEST_F(AgentServersTest, WaitingForAGateIsNoWorkingTimeOfAProgram) {
  struct Waits final : ToolApprover {
    Result<ToolDecision> decide(const PendingCall& pending) override {
      if (pending.held != nullptr) pending.held->unlock();
      std::this_thread::sleep_for(std::chrono::milliseconds(7000));
      if (pending.held != nullptr) pending.held->lock();
      return ToolDecision{};
    }
  } waits;
  EpisodeRequest wanted = closer(json::array({close("7"), report()}), {}, [](json& scenario) {
    scenario["limits"]["working_seconds"] = 6;
    scenario["limits"]["wall_seconds"] = 120;
  });
  wanted.approver = &waits;
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
}

TEST_F(AgentServersTest, HostileRequestsToTheToolsAreAnsweredAndAgentsWithoutServersAreWarnedOf) {
  EpisodeRequest wanted = closer(json::array({close("7"), report()}), {"hostile_server"});
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  std::vector<int> statuses;
  for (const auto& line : of(exchanges_, "kind", "tools"))
    if (line.at("status") != 200 && line.at("status") != 202)
      statuses.push_back(line.at("status").get<int>());
  EXPECT_EQ(statuses,
            (std::vector<int>{400, 400, 400, 400, 400, 405, 405, 404, 400, 404, 404, 404}));
  EXPECT_EQ(of(turns_, "type", "tool_executed").size(), 1U);
  wanted.scaffold->profile = "command";
  wanted.agent = tiny_scenario / "agents/obedient.json";
  wanted.scaffold->command = mini().scaffold->command;
  wanted.out = directory_.path() / "none";
  run(wanted);
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  ASSERT_EQ(run_.at("warnings").size(), 2U);
  EXPECT_THAT(run_.at("warnings").dump(), HasSubstr("close_ticket is not offered"));
  EXPECT_FALSE(run_.at("observables").at("items").contains("tool:close_ticket"));
}

}  // namespace
}  // namespace gyges::episode
