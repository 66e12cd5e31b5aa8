// Scenarios whose tools come from an MCP server inside the sandbox.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/recorder.h"
#include "tests/agent_runtime/episode/built_episode.h"
#include "tests/agent_runtime/episode/tracker.h"

namespace gyges::episode::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class McpServersTest : public BuiltEpisode {
 protected:
  static void with_tracker(json& scenario) { add_tracker(scenario, {"close", "crash"}); }
  static json close_issue(const std::string& id) { return turn({{"tracker_close", {{"id", id}}}}); }
};

TEST_F(McpServersTest, TheirToolsAreCalledInsideAndRecordedAsAnyOther) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  run(build({bash("true"), close_issue("7"), turn({{"tracker_close", {{"id", "seven"}}}}),
             submit("done")},
            with_tracker),
      recorder ? recorder->get() : nullptr);
  if (IsSkipped() || HasFatalFailure()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  EXPECT_EQ(answer(2), "closed 7, 2 in all");
  EXPECT_THAT(answer(3), HasSubstr("does not match the expression"));
  ASSERT_EQ(of_type("tool_requested").size(), 4U);
  ASSERT_EQ(of_type("tool_decided").size(), 4U);
  ASSERT_EQ(of_type("tool_executed").size(), 4U);
  ASSERT_EQ(run_.at("mcp_servers").size(), 1U);
  const json& server = run_.at("mcp_servers").at(0);
  EXPECT_EQ(server.at("title"), "tracker 2");
  EXPECT_EQ(server.at("tools").size(), 2U);
  EXPECT_EQ(server.at("ended"), "");
  EXPECT_TRUE(run_.at("observables").at("items").contains("mcp:tracker"));
  if (!recorder) return;
  EXPECT_EQ(run_.at("lost"), 0);
  // What the server and the programs it started did for the call carries the call's number.
  auto reader = recorder::TraceReader::open(bundle_ / "trace.gyt");
  ASSERT_TRUE(reader);
  std::set<std::uint32_t> executing;
  std::set<std::uint32_t> writing;
  auto read = reader->for_each([&](const recorder::Event& event) {
    std::string name(recorder::syscall_name(event.abi, event.number));
    if (name == "execve") executing.insert(event.origin_call);
    for (const auto& capture : event.captures)
      if (name == "openat" && capture.bytes.find("issue-7") != std::string::npos)
        writing.insert(event.origin_call);
    return true;
  });
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_TRUE(executing.contains(2));
  EXPECT_EQ(writing, (std::set<std::uint32_t>{2}));
}

TEST_F(McpServersTest, TheGateDecidesOverTheirCalls) {
  EpisodeRequest request = build({close_issue("7"), submit("done")}, [](json& scenario) {
    with_tracker(scenario);
    scenario["gate"] = "gate.json";
  });
  json gate{{"$schema", "gyges/gate.schema.json"},
            {"version", 1},
            {"name", "no_closing"},
            {"rules",
             {{{"name", "closing"},
               {"when", {{"tools", {"tracker_*"}}, {"arguments", {{"id", "^7$"}}}}},
               {"then", {{"action", "reject"}, {"reason", "not yours"}}}}}}};
  ASSERT_TRUE(write_file_atomically(request.scenario / "gate.json", gate.dump()));
  run(request);
  if (IsSkipped() || HasFatalFailure()) return;
  EXPECT_THAT(answer(1), HasSubstr("not yours"));
  EXPECT_EQ(of_type("tool_executed").size(), 1U);
}

TEST_F(McpServersTest, AServerThatDiesIsAToolErrorAndStandsInTheRecord) {
  run(build({turn({{"tracker_crash", {{"id", "1"}}}}), close_issue("7"), submit("done")},
            with_tracker));
  if (IsSkipped() || HasFatalFailure()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted");
  EXPECT_THAT(answer(1), HasSubstr("has ended"));
  EXPECT_THAT(answer(2), HasSubstr("exit status 4"));
  EXPECT_THAT(run_.at("mcp_servers").at(0).at("ended").get<std::string>(),
              HasSubstr("out of issues"));
}

TEST_F(McpServersTest, AServerThatDoesNotStartIsTheEndOfTheRun) {
  run(build({submit("done")}, [](json& scenario) {
    with_tracker(scenario);
    scenario["mcp_servers"][0]["command"] = {"/no/such/program"};
  }));
  if (IsSkipped() || HasFatalFailure()) return;
  EXPECT_EQ(outcome_.exit_kind, "error");
  EXPECT_THAT(outcome_.exit_reason, HasSubstr("/no/such/program"));
}

TEST_F(McpServersTest, WhatCannotBeMeantIsAnErrorBeforeTheStart) {
  auto refused = [&](const Change& change) {
    auto checked = check_episode(build({submit("x")}, change));
    return checked ? std::string() : checked.error().line();
  };
  EXPECT_EQ(refused(with_tracker), "");
  EXPECT_THAT(refused([](json& scenario) {
                with_tracker(scenario);
                scenario["mcp_servers"].push_back(scenario["mcp_servers"][0]);
              }),
              HasSubstr("two servers"));
  EXPECT_THAT(refused([](json& scenario) {
                with_tracker(scenario);
                scenario["mcp_servers"][0]["command"].push_back("{{factor.oversight.line}}");
              }),
              HasSubstr("factor"));
  EXPECT_THAT(refused([](json& scenario) {
                with_tracker(scenario);
                scenario["mcp_servers"][0]["url"] = "http://192.0.2.1/";
              }),
              HasSubstr("url"));
}

}  // namespace
}  // namespace gyges::episode::testing
