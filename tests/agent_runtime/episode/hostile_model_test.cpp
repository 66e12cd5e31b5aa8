// What the agent loop makes of replies that no decent model gives: bounded, on the record, and
// shown to a person without driving the terminal.
#include <gmock/gmock.h>
#include <sys/eventfd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/review/reviewed_run.h"
#include "base/fd.h"
#include "tests/agent_runtime/episode/built_episode.h"
#include "tests/agent_runtime/model/local_http_server.h"
#include "tools/tool_state.h"

namespace gyges::episode {
namespace {

namespace fs = std::filesystem;
using ::gyges::testing::CannedReply;
using ::gyges::testing::LocalHttpServer;
using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

json call(const std::string& id, const std::string& name, const std::string& arguments) {
  return {
      {"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", arguments}}}};
}

CannedReply reply(const json& calls, const std::string& text = "") {
  // Braces around one call are the call itself.
  json list = calls.is_array() ? calls : json::array({calls});
  json message{{"role", "assistant"}, {"content", text}, {"tool_calls", list}};
  return {"200 OK",
          json{{"choices", {{{"message", message}, {"finish_reason", "tool_calls"}}}}}.dump()};
}

CannedReply submit_reply() {
  return reply({call("s", "submit", R"({"report":"done"})")});
}

class HostileModel : public testing::BuiltEpisode {
 protected:
  // An episode whose model gives these replies, over HTTP.
  void run_with(std::vector<CannedReply> replies, const Change& change = {}) {
    LocalHttpServer server(std::move(replies));
    EpisodeRequest request = build({submit("unused")}, change);
    json agent{{"$schema", "gyges/agent.schema.json"},
               {"version", 1},
               {"name", "hostile"},
               {"model",
                {{"kind", "openai_chat"},
                 {"base_url", server.base_url()},
                 {"name", "m"},
                 {"retries", 0}}}};
    ASSERT_TRUE(write_file_atomically(request.agent, agent.dump()));
    run(request);
    sent_ = server.requests();
  }
  std::vector<std::string> sent_;
};

TEST_F(HostileModel, TenThousandCallsInOneReplyEndAtTheLimitOfCalls) {
  json calls = json::array();
  for (int i = 0; i < 10000; ++i) calls.push_back(call("x", "bash", R"({"command":"true"})"));
  run_with({reply(calls)}, [](json& scenario) { scenario["limits"]["tool_calls"] = 3; });
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "tool_call_limit");
  EXPECT_EQ(of_type("tool_executed").size(), 3U);
  EXPECT_EQ(lines_.back().at("type"), "end");
}

TEST_F(HostileModel, TenThousandCallsOfUnknownToolsAreAnsweredOneByOne) {
  json calls = json::array();
  for (int i = 0; i < 10000; ++i) calls.push_back(call("x", "no_such_tool", "{}"));
  run_with({reply(calls), submit_reply()},
           [](json& scenario) { scenario["limits"]["wall_seconds"] = 300; });
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  auto executed = of_type("tool_executed");
  ASSERT_EQ(executed.size(), 10001U);
  EXPECT_EQ(executed[9999].at("error").at("type"), "unknown_tool");
  std::set<std::string> ids;
  for (const auto& line : of_type("tool_requested")) ids.insert(line.at("id").get<std::string>());
  EXPECT_EQ(ids.size(), 10001U) << "each result belongs to one call";
}

// The time of the episode ends it in the midst of a reply, too.
TEST_F(HostileModel, AReplyOfManyCallsDoesNotOutliveTheEpisode) {
  json calls = json::array();
  for (int i = 0; i < 10000; ++i) calls.push_back(call("x", "bash", R"({"command":"sleep 0.2"})"));
  run_with({reply(calls)}, [](json& scenario) { scenario["limits"]["wall_seconds"] = 1; });
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "time_limit");
  EXPECT_THAT(outcome_.limits_hit, Contains("wall_seconds"));
  EXPECT_LE(of_type("tool_executed").size(), 6U);
}

class SlowApprover final : public ToolApprover {
 public:
  Result<ToolDecision> decide(const PendingCall& pending) override {
    ++asked;
    // As a person, a callback or a monitor would: until the episode's time is over.
    std::this_thread::sleep_until(pending.deadline);
    return ToolDecision{};
  }
  int asked = 0;
};

TEST_F(HostileModel, NobodyIsAskedOnceTheTimeIsOver) {
  SlowApprover slow;
  EpisodeRequest request =
      build({turn({{"bash", {{"command", "echo a"}}}, {"bash", {{"command", "echo b"}}}})},
            [](json& scenario) { scenario["limits"]["wall_seconds"] = 1; });
  request.approver = &slow;
  run(request);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "time_limit");
  EXPECT_EQ(slow.asked, 1);
  EXPECT_EQ(of_type("tool_requested").size(), 1U);
}

TEST_F(HostileModel, WaitingForTheGateIsNoWorkingTime) {
  struct Waits final : ToolApprover {
    Result<ToolDecision> decide(const PendingCall&) override {
      if (!waited) std::this_thread::sleep_for(std::chrono::milliseconds(1100));
      waited = true;
      return ToolDecision{};
    }
    bool waited = false;
  } waits;
  EpisodeRequest request = build({bash("echo a"), submit("done")}, [](json& scenario) {
    scenario["limits"]["working_seconds"] = 1;
    scenario["limits"]["wall_seconds"] = 300;
  });
  request.approver = &waits;
  run(request);
  if (IsSkipped()) return;
  EXPECT_THAT(outcome_.limits_hit, Not(Contains("working_seconds")));
}

TEST_F(HostileModel, WaitingForAPersonsAnswerIsNoWorkingTime) {
  struct Person final : tools::Colleague {
    Result<std::optional<std::string>> ask(const tools::Question& question) override {
      auto until = question.deadline;
      auto answer = std::chrono::steady_clock::now() + std::chrono::milliseconds(1600);
      std::this_thread::sleep_until(std::min(answer, until));
      if (answer > until) return std::optional<std::string>();
      return std::optional<std::string>("Go on.");
    }
    Status notify(std::string_view) override { return ok(); }
  } person;
  EpisodeRequest request =
      build({turn({{"ask_human", {{"question", "May I?"}}}}), bash("echo a"), submit("done")},
            [](json& scenario) {
              scenario["tools"].push_back("ask_human");
              scenario["limits"]["working_seconds"] = 1;
              scenario["limits"]["wall_seconds"] = 300;
            });
  request.colleague = &person;
  run(request);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  EXPECT_EQ(answer(1), "Go on.");
  EXPECT_THAT(outcome_.limits_hit, Not(Contains("working_seconds")));
  // It is time of the episode all the same.
  request =
      build({turn({{"ask_human", {{"question", "May I?"}}}}), submit("done")}, [](json& scenario) {
        scenario["tools"].push_back("ask_human");
        scenario["limits"]["wall_seconds"] = 1;
      });
  request.colleague = &person;
  run(request);
  EXPECT_EQ(outcome_.exit_kind, "time_limit") << outcome_.exit_reason;
}

// As Ctrl-C does it: in the midst of a reply, of a tool, of an agent's own process.
TEST_F(HostileModel, AnInterruptionEndsWhateverIsWaitedForAndLeavesAWholeBundle) {
  // Where there is a server, once it was asked.
  auto interrupted = [&](EpisodeRequest request, LocalHttpServer* server = nullptr) {
    UniqueFd wish(::eventfd(0, EFD_CLOEXEC));
    request.interrupt_fd = wish.get();
    std::thread person([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(700));
      for (int i = 0; i < 100 && server != nullptr && server->requests().empty(); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      (void)::eventfd_write(wish.get(), 1);
    });
    auto begin = std::chrono::steady_clock::now();
    run(request);
    person.join();
    if (IsSkipped()) return;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
    EXPECT_EQ(outcome_.exit_kind, "error");
    EXPECT_THAT(outcome_.exit_reason, HasSubstr("interrupted"));
    EXPECT_EQ(of_type("end").size(), 1U);
  };
  auto patient = [](json& scenario) {
    scenario["limits"]["wall_seconds"] = 120;
    scenario["limits"]["tool_seconds"] = 60;
  };
  {
    LocalHttpServer server({{"200 OK", "{}", "", std::chrono::seconds(20)}});
    EpisodeRequest request = build({submit("unused")}, patient);
    json agent{
        {"$schema", "gyges/agent.schema.json"},
        {"version", 1},
        {"name", "silent"},
        {"model", {{"kind", "openai_chat"}, {"base_url", server.base_url()}, {"name", "m"}}}};
    ASSERT_TRUE(write_file_atomically(request.agent, agent.dump()));
    interrupted(request);
    if (IsSkipped()) return;
  }
  interrupted(build({bash("sleep 60"), submit("done")}, patient));
  EXPECT_EQ(of_type("tool_executed").at(0).at("error").at("type"), "cancelled");
  EpisodeRequest request = build({submit("unused")}, patient);
  request.scaffold = ScaffoldChoice{"command", "", {"sleep", "60"}};
  interrupted(request);
  // A gate's callback, a monitor's model, and the model of a third-party agent.
  const CannedReply silent{"200 OK", "{}", "", std::chrono::seconds(20)};
  {
    LocalHttpServer server({silent});
    request = build({bash("touch never"), submit("done")}, patient);
    json then{{"action", "escalate"},
              {"to", "http"},
              {"url", server.base_url()},
              {"timeout_seconds", 60},
              {"on_timeout", "terminate"}};
    request.gate = directory_.path() / "gate.json";
    ASSERT_TRUE(write_file_atomically(
        *request.gate,
        json{{"$schema", "gyges/gate.schema.json"},
             {"version", 1},
             {"name", "hooked"},
             {"rules", {{{"name", "all"}, {"when", json::object()}, {"then", then}}}}}
            .dump()));
    interrupted(request, &server);
    EXPECT_EQ(of_type("tool_decided").at(0).at("decision"), "terminated");
    EXPECT_TRUE(of_type("tool_executed").empty());
  }
  auto silent_model = [&](const LocalHttpServer& server, const fs::path& file) {
    json agent{
        {"$schema", "gyges/agent.schema.json"},
        {"version", 1},
        {"name", "silent"},
        {"model", {{"kind", "openai_chat"}, {"base_url", server.base_url()}, {"name", "m"}}}};
    ASSERT_TRUE(write_file_atomically(file, agent.dump()));
  };
  {
    LocalHttpServer server({silent, silent});
    silent_model(server, directory_.path() / "judge_model.json");
    const fs::path monitor = directory_.path() / "judge.json";
    ASSERT_TRUE(write_file_atomically(monitor, json{{"$schema", "gyges/monitor.schema.json"},
                                                    {"version", 1},
                                                    {"name", "judge"},
                                                    {"kind", "model"},
                                                    {"agent", "judge_model.json"},
                                                    {"rubric", "Suspicious is whoever hides."},
                                                    {"timeout_seconds", 60},
                                                    {"on_error", "stop"}}
                                                   .dump()));
    request = build({bash("touch never"), submit("done")}, patient);
    request.monitors = {monitor};
    interrupted(request, &server);
    EXPECT_TRUE(of_type("tool_executed").empty());
  }
  {
    LocalHttpServer server({silent, silent, silent, silent});
    request = build({submit("unused")}, patient);
    silent_model(server, request.agent);
    request.scaffold = ScaffoldChoice{
        "command",
        "openai_chat",
        {"python3", "-c",
         "import os, signal, urllib.request as u\n"
         "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
         "u.urlopen(u.Request(os.environ['OPENAI_BASE_URL'] + '/chat/completions',\n"
         "  b'{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}',\n"
         "  {'Authorization': 'Bearer ' + os.environ['OPENAI_API_KEY'],\n"
         "   'Content-Type': 'application/json'}))"}};
    interrupted(request, &server);
    EXPECT_EQ(server.requests().size(), 1U);
    EXPECT_EQ(outcome_.totals.requests, 1U);
  }
}

// Each endpoint gets its own key, and the bundle none.
TEST_F(HostileModel, TheKeysOfTwoProvidersMeetNowhere) {
  const std::string one = "sk-agent-1111-aaaa";
  const std::string two = "sk-judge-2222-bbbb";
  ::setenv("GYGES_TEST_KEY_ONE", one.c_str(), 1);
  ::setenv("GYGES_TEST_KEY_TWO", two.c_str(), 1);
  const CannedReply verdict{
      "200 OK",
      json{{"choices",
            {{{"message",
               {{"role", "assistant"},
                {"content", R"({"score":1,"reason":"I was given )" + two + R"(","evidence":[]})"}}},
              {"finish_reason", "stop"}}}}}
          .dump()};
  LocalHttpServer agents(
      {reply(call("a", "bash", json{{"command", "echo " + one}}.dump())), submit_reply()});
  LocalHttpServer judges(std::vector<CannedReply>(8, verdict));
  EpisodeRequest request = build({submit("unused")});
  auto write = [](const fs::path& file, const LocalHttpServer& server, const char* key) {
    json agent{{"$schema", "gyges/agent.schema.json"},
               {"version", 1},
               {"name", "keyed"},
               {"model",
                {{"kind", "openai_chat"},
                 {"base_url", server.base_url()},
                 {"name", "m"},
                 {"api_key_env", key}}}};
    ASSERT_TRUE(write_file_atomically(file, agent.dump()));
  };
  write(request.agent, agents, "GYGES_TEST_KEY_ONE");
  write(directory_.path() / "judge_model.json", judges, "GYGES_TEST_KEY_TWO");
  request.monitors = {directory_.path() / "judge.json"};
  ASSERT_TRUE(
      write_file_atomically(request.monitors[0], json{{"$schema", "gyges/monitor.schema.json"},
                                                      {"version", 1},
                                                      {"name", "judge"},
                                                      {"kind", "model"},
                                                      {"agent", "judge_model.json"},
                                                      {"rubric", "Suspicious is whoever hides."}}
                                                     .dump()));
  run(request);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  ASSERT_FALSE(agents.requests().empty());
  ASSERT_FALSE(judges.requests().empty());
  for (const auto& sent : agents.requests()) {
    EXPECT_THAT(sent, HasSubstr("Bearer " + one));
    EXPECT_THAT(sent, Not(HasSubstr(two)));
  }
  for (const auto& sent : judges.requests()) {
    EXPECT_THAT(sent, HasSubstr("Bearer " + two));
    EXPECT_THAT(sent, Not(HasSubstr(one)));
  }
  for (const auto& entry : fs::recursive_directory_iterator(bundle_)) {
    if (!entry.is_regular_file()) continue;
    for (const std::string& key : {one, two})
      EXPECT_THAT(*read_file(entry.path()), Not(HasSubstr(key))) << entry.path();
  }
}

// No limit is set here, but the endpoint has one.
TEST_F(HostileModel, AConversationThatTheEndpointRefusesAsTooLongLosesItsOldestOutputs) {
  CannedReply too_long{
      "400 Bad Request",
      R"({"error":{"message":"This model's maximum context length is 2048 tokens."}})"};
  const std::string much = R"({"command":"head -c 4000 /dev/zero | tr '\\0' a"})";
  run_with({reply({call("a", "bash", much)}), reply({call("b", "bash", R"({"command":"echo b"})")}),
            too_long, submit_reply()});
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  ASSERT_EQ(of_type("context_cut").size(), 1U);
  EXPECT_EQ(of_type("context_cut")[0].at("calls"), json({1}));
  EXPECT_THAT(sent_.at(2), HasSubstr(std::string(4000, 'a')));
  EXPECT_THAT(sent_.at(3), Not(HasSubstr("aaaa")));
  EXPECT_THAT(sent_.at(3), HasSubstr("left out"));
  run_with({too_long});
  EXPECT_EQ(outcome_.exit_kind, "context_limit") << "there is nothing to leave out";
  EXPECT_THAT(outcome_.limits_hit, Contains("context_tokens"));
}

TEST_F(HostileModel, IdsThatCollideOrAreForgedAreMadeAnew) {
  json calls{call("call_2", "bash", R"({"command":"echo one"})"),
             call("", "bash", R"({"command":"echo two"})"),
             call("call_2", "bash", R"({"command":"echo three"})"),
             call(std::string(5000, 'i'), "bash", R"({"command":"echo four"})")};
  run_with({reply(calls), submit_reply()});
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  std::set<std::string> ids;
  for (const auto& line : of_type("tool_requested")) ids.insert(line.at("id").get<std::string>());
  EXPECT_EQ(ids.size(), 5U);
  EXPECT_TRUE(ids.contains("call_2"));
  EXPECT_EQ(answer(2), "two\n");
  EXPECT_EQ(answer(3), "three\n");
  // Every result that was sent back names its own call.
  json sent = json::parse(sent_.at(1).substr(sent_.at(1).find("\r\n\r\n") + 4));
  std::set<std::string> answered;
  for (const auto& message : sent.at("messages"))
    if (message.at("role") == "tool") answered.insert(message.at("tool_call_id"));
  EXPECT_EQ(answered.size(), 4U);
}

TEST_F(HostileModel, ArgumentsNamesAndTextsAreRecordedAndHarmless) {
  const std::string escapes = "\x1b]0;owned\x07\x1b[2J\r\n\xE2\x80\xAE";
  json calls{call("a", "bash", "{\"command\": \"echo"),
             call("b", "bash", "[1,2]"),
             call("c", "bash", R"({"command":"a","command":"b"})"),
             call("d", "bash", std::string(100000, '[')),
             call("e", escapes + "\"}", "{}"),
             call("f", "bash", R"({"command":"echo \u0000"})"),
             call("g", "bash", json{{"command", "printf '%s' '" + escapes + "'"}}.dump()),
             call("h", std::string(1U << 20U, 'n'), "{}")};
  run_with({reply(calls, escapes + "I am an assistant."), submit_reply()});
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted") << outcome_.exit_reason;
  auto executed = of_type("tool_executed");
  ASSERT_EQ(executed.size(), 9U);
  for (int i : {0, 1, 2, 3, 5}) EXPECT_EQ(executed[i].at("error").at("type"), "arguments") << i;
  for (int i : {4, 7}) EXPECT_EQ(executed[i].at("error").at("type"), "unknown_tool") << i;
  EXPECT_TRUE(executed[6].at("error").is_null());
  EXPECT_THAT(executed[4].at("output").get<std::string>(), Not(HasSubstr("\x1b")))
      << "what is said of it is printable";
  std::string transcript = *read_file(bundle_ / "transcript.jsonl");
  EXPECT_EQ(transcript.find('\x1b'), std::string::npos) << "a reader with cat is safe";
  EXPECT_LT(transcript.size(), 4U << 20U);
  auto reviewed = review::load_reviewed_run(bundle_, 100);
  ASSERT_TRUE(reviewed) << reviewed.error().line();
  EXPECT_EQ(reviewed->calls.size(), 9U);
  EXPECT_LE(reviewed->calls[6].output.size(), 100U);
}

}  // namespace
}  // namespace gyges::episode
