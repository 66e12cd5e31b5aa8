// Third-party agents in the sandbox: a small one of our own, and pi where it is installed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/monitor/offline.h"
#include "agent_runtime/scaffold/scaffold.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/execution.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/recorder.h"
#include "tests/agent_runtime/episode/third_party_episode.h"
#include "tests/agent_runtime/model/local_http_server.h"

namespace gyges::episode {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(ThirdPartyTest, AProgramActsThroughItsOwnToolAndEverythingIsJoined) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  run(mini(), recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  EXPECT_EQ(turns_.back().at("report"), "It is done.");
  EXPECT_EQ(run_.at("agent").at("name"), "command.obedient");
  EXPECT_EQ(run_.at("agent").at("scaffold").at("dialect"), "anthropic_messages");
  EXPECT_EQ(of(turns_, "type", "tool_requested").size(), 2U);
  EXPECT_EQ(of(turns_, "type", "tool_executed").size(), 2U);
  EXPECT_EQ(of(exchanges_, "kind", "generate").size(), 3U);
  auto calls = of(processes_, "type", "call");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].at("call"), 1);
  EXPECT_EQ(calls[0].at("match"), "exact");
  EXPECT_EQ(calls[0].at("argv")[2], "cat note.txt");
  EXPECT_THAT(of(processes_, "type", "not_found"), IsEmpty());
  EXPECT_THAT(of(processes_, "type", "undeclared"), IsEmpty());
  EXPECT_THAT(*read_file(bundle_ / "flows.jsonl"), HasSubstr("\"model\""));
}

TEST_F(ThirdPartyTest, EventsOfTheTraceCarryTheCallThatCausedThem) {
  for (auto backend : {recorder::Backend::ebpf, recorder::Backend::ptrace}) {
    auto recorder = recorder::Recorder::open(backend, {});
    if (!recorder) continue;
    EpisodeRequest wanted = mini({"undeclared"});
    wanted.scenario = patient(120);
    wanted.out = directory_.path() / recorder::backend_name(backend);
    run(wanted, recorder->get());
    if (IsSkipped()) return;
    ASSERT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
    auto reader = recorder::TraceReader::open(bundle_ / "trace.gyt");
    ASSERT_TRUE(reader) << reader.error().line();
    std::map<std::uint32_t, std::set<std::string>> executed;
    std::map<std::uint32_t, std::size_t> events;
    ASSERT_TRUE(reader->for_each([&](const recorder::Event& event) {
      std::uint32_t call = recorder::tool_call_of(event);
      ++events[call];
      if (recorder::is_execution(event)) {
        auto argv = recorder::execution_of(event).argv;
        executed[call].insert(argv.empty() ? "" : argv.back());
      }
      return true;
    }));
    EXPECT_THAT(executed[1], Contains("cat note.txt"));
    EXPECT_THAT(executed[1], Contains("note.txt")) << "what the shell started belongs to it";
    EXPECT_THAT(executed[0], Contains("uname -a"));
    EXPECT_THAT(executed[0], Not(Contains("cat note.txt")));
    EXPECT_GT(events[1], 20U);
    EXPECT_GT(events[2], 20U);
    // The join says the same.
    auto calls = of(processes_, "type", "call");
    ASSERT_EQ(calls.size(), 2U);
    for (const auto& line : of(processes_, "type", "undeclared"))
      EXPECT_THAT(line.at("argv").dump(), Not(HasSubstr("cat note.txt")));
    EXPECT_FALSE(of(processes_, "type", "undeclared").empty());
    fs::remove_all(directory_.path() / "tiny");
  }
}

TEST_F(ThirdPartyTest, AGateRefusesACallThatTheAgentNeverSees) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  EpisodeRequest wanted = mini();
  wanted.gate = directory_.path() / "gate.json";
  const json rule{{"name", "no_notes"},
                  {"when", {{"text", "cat note"}}},
                  {"then", {{"action", "reject"}, {"reason", "notes are private"}}}};
  json gate{{"$schema", "gyges/gate.schema.json"},
            {"version", 1},
            {"name", "privacy"},
            {"mode", "enforce"},
            {"rules", json::array({rule})}};
  ASSERT_TRUE(write_file_atomically(*wanted.gate, gate.dump()));
  run(wanted, recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  auto decided = of(turns_, "type", "tool_decided");
  ASSERT_EQ(decided.size(), 2U);
  EXPECT_EQ(decided[0].at("decision"), "rejected");
  EXPECT_EQ(decided[0].at("approver"), "rule no_notes");
  EXPECT_EQ(decided[1].at("decision"), "approved");
  EXPECT_EQ(of(turns_, "type", "tool_executed").size(), 1U);
  auto calls = of(processes_, "type", "call");
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].at("call"), 2);
  for (const auto& line : processes_) EXPECT_THAT(line.dump(), Not(HasSubstr("cat note.txt")));
  EXPECT_EQ(run_.at("oversight").at("gate").at("mode"), "enforce");
  // Nobody is there to be asked: that is a refusal, too. Recorded only, it changes nothing.
  gate["rules"][0]["then"] = {{"action", "escalate"}, {"to", "person"}, {"timeout_seconds", 1}};
  ASSERT_TRUE(write_file_atomically(*wanted.gate, gate.dump()));
  wanted.out = directory_.path() / "asked";
  run(wanted, recorder->get());
  EXPECT_THAT(of(turns_, "type", "tool_decided").at(0).at("reason").get<std::string>(),
              HasSubstr("nobody is there"));
  wanted.out = directory_.path() / "recorded";
  wanted.gate_mode = "record";
  run(wanted, recorder->get());
  EXPECT_EQ(of(turns_, "type", "tool_decided").at(0).at("would"), "rejected");
  EXPECT_EQ(of(processes_, "type", "call").size(), 2U);
}

TEST_F(ThirdPartyTest, MonitorsLookOnAndCanStopTheRunAndSayTheSameAfterwards) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  EpisodeRequest wanted = mini();
  const fs::path file = directory_.path() / "monitor.json";
  json rules{
      {"$schema", "gyges/monitor.schema.json"},
      {"version", 1},
      {"name", "careful"},
      {"kind", "rules"},
      {"rules",
       {{{"name", "reads"}, {"score", 0.9}, {"when", {{"call", {{"text", "cat note"}}}}}},
        {{"name", "wrote"},
         {"score", 0.7},
         {"when", {{"event", {{"kind", "change"}, {"paths", json::array({"**/out.txt"})}}}}}}}}};
  ASSERT_TRUE(write_file_atomically(file, rules.dump()));
  wanted.monitors = {file};
  run(wanted, recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  std::set<std::string> seen;
  std::vector<json> online;
  for (const auto& line : of(turns_, "type", "monitor")) {
    online.push_back(line.at("verdict"));
    for (const auto& rule : line.at("verdict").at("rules")) seen.insert(rule.get<std::string>());
  }
  EXPECT_THAT(seen, ::testing::UnorderedElementsAre("reads", "wrote"));
  auto judged = monitor::judge_run(file, bundle_);
  ASSERT_TRUE(judged) << judged.error().line();
  std::vector<json> offline;
  for (const auto& verdict : judged->verdicts) offline.push_back(monitor::verdict_to_json(verdict));
  EXPECT_EQ(offline, online);
  rules["stop_at"] = 0.8;
  ASSERT_TRUE(write_file_atomically(file, rules.dump()));
  wanted.out = directory_.path() / "stopped";
  run(wanted, recorder->get());
  EXPECT_EQ(outcome_.exit_kind, "terminated") << outcome_.exit_reason;
  EXPECT_THAT(of(turns_, "type", "tool_executed"), IsEmpty());
  for (const auto& line : processes_) EXPECT_THAT(line.dump(), Not(HasSubstr("cat note.txt")));
}

TEST_F(ThirdPartyTest, HostileRequestsAreAnsweredAndWhatWasNotDeclaredIsListed) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  run(mini({"hostile"}), recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  std::vector<int> statuses;
  for (const auto& line : exchanges_)
    if (line.at("kind") != "generate" || line.at("status") != 200)
      statuses.push_back(line.at("status").get<int>());
  EXPECT_EQ(statuses, (std::vector<int>{400, 400, 400, 400, 400, 401, 404, 200}));
  auto undeclared = of(processes_, "type", "undeclared");
  ASSERT_FALSE(undeclared.empty());
  EXPECT_EQ(undeclared[0].at("argv"), (json{"bash", "-c", "uname -a"}));
}

TEST_F(ThirdPartyTest, NothingButTheModelCanBeReached) {
  run(request("command", {"bash", "-c",
                          "for at in llm.localdomain/22 web.example/80 192.0.2.7/443; do "
                          "(exec 3<>/dev/tcp/$at) 2>/dev/null && echo OPEN $at >> ~/open; done; "
                          "(exec 3<>/dev/tcp/llm.localdomain/8080) && echo model >> ~/open; "
                          "cat ~/open"}));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "agent_stopped");
  EXPECT_THAT(outcome_.exit_reason, HasSubstr("without having asked its model"));
  EXPECT_EQ(turns_.back().at("report"), "model\n");
}

TEST_F(ThirdPartyTest, TurnsAndProgramsThatFailAreSaidSo) {
  EpisodeRequest endless = mini();
  endless.agent = tiny_scenario / "agents/endless.json";
  run(endless);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "turn_limit") << outcome_.exit_reason;
  endless.out = directory_.path() / "second";
  endless.scaffold = ScaffoldChoice{"command", "", {"sh", "-c", "echo broken >&2; exit 3"}};
  run(endless);
  EXPECT_EQ(outcome_.exit_kind, "agent_stopped");
  EXPECT_THAT(outcome_.exit_reason, HasSubstr("status 3: broken"));
  endless.out = directory_.path() / "third";
  endless.scaffold = ScaffoldChoice{"command", "", {"/no/such/program"}};
  run(endless);
  EXPECT_EQ(outcome_.exit_kind, "error");
  EXPECT_THAT(outcome_.exit_reason, HasSubstr("start agent"));
}

TEST_F(ThirdPartyTest, EveryLimitEndsTheEpisodeAndTheTotalsSayWhatWasUsed) {
  struct Case {
    const char* limit;
    int value;
    const char* mode;
    const char* kind;
  };
  for (const Case& now :
       {Case{"tokens", 10, "", "token_limit"}, Case{"tool_calls", 1, "", "tool_call_limit"},
        Case{"working_seconds", 1, "work", "working_time_limit"},
        Case{"wall_seconds", 1, "work", "time_limit"},
        Case{"context_tokens", 500, "long", "context_limit"}}) {
    SCOPED_TRACE(now.limit);
    EpisodeRequest wanted = mini({now.mode});
    wanted.scenario =
        changed_scenario([&](json& scenario) { scenario["limits"][now.limit] = now.value; });
    wanted.out = directory_.path() / now.limit;
    run(wanted);
    if (IsSkipped()) return;
    EXPECT_EQ(outcome_.exit_kind, now.kind) << outcome_.exit_reason;
    if (std::string(now.kind) != "time_limit") {
      ASSERT_EQ(run_.at("limits_hit").size(), 1U);
      EXPECT_EQ(run_.at("limits_hit")[0].at("limit"), now.limit);
    }
  }
  EpisodeRequest wanted = mini();
  wanted.out = directory_.path() / "whole";
  run(wanted);
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  const json& totals = run_.at("totals");
  EXPECT_EQ(totals.at("requests"), 3);
  EXPECT_EQ(totals.at("replies"), 3);
  EXPECT_EQ(totals.at("tool_calls"), 2);
  std::uint64_t input = 0;
  for (const auto& line : of(turns_, "role", "assistant"))
    input += line.at("usage").at("input_tokens").get<std::uint64_t>();
  EXPECT_GT(input, 0U);
  EXPECT_EQ(totals.at("tokens").at("input"), input);
  EXPECT_EQ(outcome_.totals.usage.input_tokens, input);
}

// What clients of today ask for by ALPN at a vendor's own name: HTTP/2 as well as HTTP/1.1.
TEST_F(ThirdPartyTest, TheModelsHostSpeaksBothVersionsOfHttp) {
  if (!fs::exists("/usr/bin/curl")) GTEST_SKIP() << "curl is not there";
  json profile = json::parse(*read_file(GYGES_SOURCE_DIR "/policies/agents/command.json"));
  profile["name"] = "vendor";
  profile["dialects"] = {{"anthropic_messages", {{"endpoint", {{"host", "api.anthropic.com"}}}}}};
  profile["dialect_order"] = {"anthropic_messages"};
  const fs::path file = directory_.path() / "vendor.json";
  ASSERT_TRUE(write_file_atomically(file, profile.dump()));
  const std::string body =
      R"({"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]})";
  std::string script =
      "exec > ~/answers 2>&1; for version in --http2 --http1.1 --http2-prior-knowledge; do curl "
      "-sS "
      "$version -m 30 -w '%{http_version} %{http_code}\\n' -o ~/answer "
      "-H \"x-api-key: $ANTHROPIC_API_KEY\" --data '" +
      body +
      "' "
      "\"$ANTHROPIC_BASE_URL/v1/messages\"; "
      "grep -c '^event: message_stop' ~/answer; done";
  if (fs::exists("/usr/bin/node"))
    script += R"(; node -e '
const http2 = require("http2"), fs = require("fs");
const session = http2.connect(process.env.ANTHROPIC_BASE_URL,
                              {ca: fs.readFileSync(process.env.NODE_EXTRA_CA_CERTS)});
session.on("error", error => { console.log("error " + error.message); process.exit(1); });
const request = session.request({":method": "POST", ":path": "/v1/messages",
                                 "x-api-key": process.env.ANTHROPIC_API_KEY});
let text = "";
request.on("response", headers => { text += headers[":status"] + " "; });
request.setEncoding("utf8").on("data", piece => { text += piece; });
request.on("end", () => { console.log(text.slice(0, 4) + text.includes("message_stop"));
                          session.close(); });
request.end(`)" +
              body + "`);'";
  EpisodeRequest wanted = request("vendor", {"bash", "-c", script});
  wanted.scaffold->profile = file;
  wanted.scenario = patient(120);
  run(wanted);
  if (IsSkipped()) return;
  std::string expected = "2 200\n1\n1.1 200\n1\n2 200\n1\n";
  if (fs::exists("/usr/bin/node")) expected += "200 true\n";
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  std::string answers;
  std::ifstream changes(bundle_ / "files/changes.jsonl");
  for (std::string line; std::getline(changes, line);)
    if (const json change = json::parse(line);
        change.at("path").get<std::string>().ends_with("/answers"))
      answers = *read_file(bundle_ / "files/content" / change.at("sha256").get<std::string>());
  EXPECT_EQ(answers, expected);
}

TEST_F(ThirdPartyTest, ARealKeyIsAddedOutsideAndStandsNowhere) {
  // The agent streams, so the provider is asked for a stream; in another dialect, with the key in
  // it.
  model::Reply hello;
  hello.message.role = model::Role::assistant;
  hello.message.content.push_back({model::Part::Kind::text, "Hi, sk-secret-9876."});
  gyges::testing::CannedReply reply;
  reply.headers = "Content-Type: text/event-stream\r\n";
  reply.body = model::write_stream(*model::find_dialect("openai_chat"), {}, hello, 5);
  gyges::testing::LocalHttpServer server({reply});
  ASSERT_TRUE(write_file_atomically(directory_.path() / "real.json",
                                    json{{"$schema", "gyges/agent.schema.json"},
                                         {"version", 1},
                                         {"name", "real"},
                                         {"model",
                                          {{"kind", "openai_chat"},
                                           {"base_url", server.base_url()},
                                           {"name", "m"},
                                           {"api_key_env", "GYGES_THIRD_PARTY_KEY"}}}}
                                        .dump()));
  ::setenv("GYGES_THIRD_PARTY_KEY", "sk-secret-9876", 1);
  EpisodeRequest wanted = mini();
  wanted.agent = directory_.path() / "real.json";
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  EXPECT_EQ(turns_.back().at("report"), "Hi, [key].");
  EXPECT_THAT(server.requests().at(0), HasSubstr("sk-secret-9876"));
  expect_nowhere("sk-secret");
}

TEST_F(ThirdPartyTest, AClientThatDoesNotReadHoldsUpNoOther) {
  const model::Dialect& dialect = *model::find_dialect("openai_chat");
  auto canned = [&](std::size_t words, bool streamed) {
    model::Reply said;
    said.message.role = model::Role::assistant;
    said.message.content.push_back({model::Part::Kind::text, std::string(words, 'x')});
    model::Losses losses;
    gyges::testing::CannedReply reply;
    reply.headers = streamed ? "Content-Type: text/event-stream\r\n" : "";
    reply.body = streamed ? model::write_stream(dialect, {}, said)
                          : dialect.write_response({}, said, losses).body;
    return reply;
  };
  // More than the buffers on the way hold.
  auto large = canned(6U << 20U, false);
  gyges::testing::LocalHttpServer server({large, large, large, canned(4, true)});
  EpisodeRequest wanted = mini({"stall"});
  wanted.scenario = patient(50);  // who does not read is cut off after 60 s
  wanted.agent = directory_.path() / "real.json";
  ASSERT_TRUE(write_file_atomically(
      wanted.agent,
      json{{"$schema", "gyges/agent.schema.json"},
           {"version", 1},
           {"name", "real"},
           {"model", {{"kind", "openai_chat"}, {"base_url", server.base_url()}, {"name", "m"}}}}
          .dump()));
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  EXPECT_EQ(turns_.back().at("report"), "xxxx");
  std::size_t broken = 0;
  for (const auto& line : exchanges_) broken += line.at("broken").get<bool>() ? 1 : 0;
  EXPECT_EQ(broken, 3U) << "they were not read to their end";
}

// pi in each of its four wire formats, where scripts/install-agents has put it.
TEST_F(ThirdPartyTest, PiSpeaksAllFourWireFormats) {
  std::error_code ignored;
  if (!fs::exists(scaffold::agents_directory() / "pi/lib/node_modules", ignored))
    GTEST_SKIP() << "pi is not installed in " << scaffold::agents_directory()
                 << ": run scripts/install-agents pi";
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  const fs::path scenario = patient(120);  // node starts slowly on a busy machine
  for (const char* dialect : {"anthropic_messages", "openai_chat", "openai_responses", "gemini"}) {
    SCOPED_TRACE(dialect);
    EpisodeRequest wanted = request("pi");
    wanted.scenario = scenario;
    wanted.scaffold->dialect = dialect;
    wanted.out = directory_.path() / dialect;
    run(wanted, recorder->get());
    if (IsSkipped()) return;
    EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
    EXPECT_EQ(turns_.back().at("report"), "It is done.");
    EXPECT_EQ(of(turns_, "type", "tool_executed").size(), 2U);
    auto calls = of(processes_, "type", "call");
    ASSERT_EQ(calls.size(), 2U);
    EXPECT_THAT(of(processes_, "type", "not_found"), IsEmpty());
    for (const auto& line : exchanges_) EXPECT_EQ(line.at("dialect"), dialect);
  }
}

}  // namespace
}  // namespace gyges::episode
