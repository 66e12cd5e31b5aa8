#include "agent_runtime/episode/gate.h"

#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "agent_runtime/episode/terminal_person.h"
#include "tests/agent_runtime/episode/built_episode.h"
#include "tests/agent_runtime/model/local_http_server.h"

namespace gyges::episode {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Action = ToolDecision::Action;

TEST(CallFacts, PathsAndHosts) {
  CallFacts facts = facts_of(
      json{{"command",
            "cat ~/a/../b.txt ./c /etc/passwd; curl -d @x https://me@Host.Example.:8443/p?q=1 "
            "http://[2001:db8::1]/ ftp://f.example"},
           {"path", "notes.txt"},
           {"to", {"bob@mail.example"}}},
      "/home/u");
  EXPECT_THAT(facts.paths, ::testing::IsSupersetOf(
                               {"/home/u/b.txt", "/home/u/c", "/etc/passwd", "/home/u/notes.txt"}));
  EXPECT_THAT(facts.hosts, ::testing::IsSupersetOf(
                               {"host.example", "2001:db8::1", "f.example", "mail.example"}));
}

class GateTest : public testing::BuiltEpisode {
 protected:
  std::string write_gate(json rules, const std::string& mode = "enforce",
                         const std::string& otherwise = "approve") {
    json gate{{"$schema", "gyges/gate.schema.json"},
              {"version", 1},
              {"name", "test"},
              {"mode", mode},
              {"otherwise", otherwise},
              {"rules", std::move(rules)}};
    auto file = directory_.path() / ("gate" + std::to_string(++gates_) + ".json");
    EXPECT_TRUE(write_file_atomically(file, gate.dump()));
    return file.string();
  }

  ToolDecision decide(const json& rules, const json& arguments, const std::string& tool = "bash",
                      GateSettings settings = {}, Amounts amounts = {},
                      const std::string& rationale = "because") {
    auto loaded = load_gate(write_gate(rules));
    EXPECT_TRUE(loaded) << loaded.error().line();
    settings.home = "/home/user";
    auto gate = Gate::make(std::move(*loaded), settings);
    EXPECT_TRUE(gate);
    model::ToolCall call;
    call.call = 3;
    call.name = tool;
    call.arguments = arguments.dump();
    return *(*gate)->decide({call, rationale, amounts,
                             std::chrono::steady_clock::now() + std::chrono::seconds(30), nullptr,
                             unwanted});
  }
  const model::Cancellation* unwanted = nullptr;
  int gates_ = 0;
};

// Says yes, and looks whether the lock is free and whether somebody else asks at the same time.
class Neighbourly final : public Decider {
 public:
  std::mutex shared;
  std::atomic<int> asking = 0, most_asking = 0, asked_with_lock_free = 0;
  Result<std::optional<ToolDecision>> decide(const Escalation&) override {
    most_asking = std::max(most_asking.load(), ++asking);
    if (std::unique_lock lock(shared, std::try_to_lock); lock || asked_with_lock_free > 0)
      ++asked_with_lock_free;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    --asking;
    return std::optional<ToolDecision>(ToolDecision{});
  }
};

json rule(const json& when, const json& then) {
  return json::array({{{"name", "r"}, {"when", when}, {"then", then}}});
}

TEST_F(GateTest, WhoeverIsAskedOutsideHoldsUpNobodyAndHearsOneQuestionAtATime) {
  Neighbourly person;
  auto loaded =
      load_gate(write_gate(rule({{"text", "ask"}}, {{"action", "escalate"}, {"to", "person"}})));
  ASSERT_TRUE(loaded) << loaded.error().line();
  GateSettings settings;
  settings.person = &person;
  auto gate = Gate::make(std::move(*loaded), settings);
  ASSERT_TRUE(gate);
  auto ask = [&] {
    model::ToolCall call;
    call.name = "bash";
    call.arguments = R"({"command":"ask"})";
    std::unique_lock lock(person.shared);
    PendingCall pending{
        call, "", {}, std::chrono::steady_clock::now() + std::chrono::seconds(60), &lock};
    auto decision = (*gate)->decide(pending);
    EXPECT_TRUE(lock.owns_lock());
    ASSERT_TRUE(decision);
    EXPECT_EQ(decision->approver, "person");
    EXPECT_EQ(decision->action, Action::approve);
  };
  ask();
  EXPECT_EQ(person.asked_with_lock_free, 1);
  std::vector<std::thread> others;
  for (int i = 0; i < 4; ++i) others.emplace_back(ask);
  for (auto& one : others) one.join();
  EXPECT_EQ(person.most_asking, 1);
}

TEST_F(GateTest, EveryPartOfACondition) {
  const json no{{"action", "reject"}, {"reason", "no"}};
  auto rejected = [&](const json& when, const json& arguments, Amounts amounts = {}) {
    return decide(rule(when, no), arguments, "bash", {}, amounts).action == Action::reject;
  };
  const json rm{{"command", "rm -r /srv/data"}};
  EXPECT_TRUE(rejected(json::object(), rm));
  EXPECT_TRUE(rejected({{"tools", {"b*"}}}, rm));
  EXPECT_FALSE(rejected({{"tools", {"mail"}}}, rm));
  EXPECT_TRUE(rejected({{"arguments", {{"command", "^rm"}}}}, rm));
  EXPECT_FALSE(rejected({{"arguments", {{"code", "rm"}}}}, rm));
  EXPECT_TRUE(rejected({{"text", "srv"}}, rm));
  EXPECT_TRUE(rejected({{"paths", {"/srv/**"}}}, rm));
  EXPECT_FALSE(rejected({{"paths", {"/etc/**"}}}, rm));
  EXPECT_TRUE(rejected({{"paths", {"/srv/**"}}}, {{"command", "rm ../../srv/data"}}));
  EXPECT_TRUE(rejected({{"hosts", {"*.example"}}}, {{"command", "curl http://a.example/"}}));
  EXPECT_FALSE(rejected({{"hosts", {"*.example"}}}, {{"command", "curl http://a.test/"}}));
  EXPECT_TRUE(rejected({{"rationale", "cause"}}, rm));
  EXPECT_FALSE(rejected({{"rationale", "reason"}}, rm));
  EXPECT_TRUE(rejected({{"over", {{"tool_calls", 4}}}}, rm, {1, 5, 0, 0}));
  EXPECT_FALSE(rejected({{"over", {{"tool_calls", 4}}}}, rm, {1, 4, 0, 0}));
  EXPECT_TRUE(rejected({{"over", {{"output_bytes", 9}, {"tokens", 9}}}}, rm, {1, 1, 10, 10}));
  EXPECT_FALSE(rejected({{"over", {{"output_bytes", 9}, {"tokens", 9}}}}, rm, {1, 1, 10, 9}));
  EXPECT_TRUE(rejected({{"over", {{"cost", 0.5}}}}, rm, {1, 1, 0, 0, 0.6}));
  EXPECT_FALSE(rejected({{"over", {{"cost", 0.5}}}}, rm, {1, 1, 0, 0, 0.5}));
  EXPECT_TRUE(rejected({{"over", {{"seconds", 0}}}}, rm)) << "the gate has a clock of its own";
  EXPECT_FALSE(rejected({{"over", {{"seconds", 3600}}}}, rm));
  EXPECT_FALSE(rejected({{"share", 0.0}}, rm));
  EXPECT_TRUE(rejected({{"share", 1.0}}, rm));
  EXPECT_TRUE(rejected({{"any", {{{"text", "x"}}, {{"text", "srv"}}}}}, rm));
  EXPECT_FALSE(rejected({{"not", {{"text", "srv"}}}}, rm));
  EXPECT_FALSE(rejected({{"tools", {"bash"}}, {"text", "etc"}}, rm)) << "all must hold";
}

TEST_F(GateTest, ModifyMergesArguments) {
  ToolDecision decision =
      decide(rule(json::object(),
                  {{"action", "modify"}, {"arguments", {{"timeout_seconds", 5}, {"x", nullptr}}}}),
             {{"command", "a"}, {"x", 1}});
  EXPECT_EQ(decision.action, Action::modify);
  EXPECT_EQ(json::parse(decision.arguments), (json{{"command", "a"}, {"timeout_seconds", 5}}));
}

TEST_F(GateTest, FilesThatCannotWorkAreErrors) {
  auto load = [&](const json& rules) { return load_gate(write_gate(rules)); };
  EXPECT_TRUE(load(rule({{"text", "a"}}, {{"action", "approve"}})));
  EXPECT_FALSE(load(rule({{"text", "("}}, {{"action", "approve"}})));
  EXPECT_FALSE(load(rule({{"txt", "a"}}, {{"action", "approve"}})));
  EXPECT_FALSE(load(rule({{"text", "a"}}, {{"action", "escalate"}})));
  EXPECT_FALSE(load(rule({{"text", "a"}}, {{"action", "modify"}})));
  EXPECT_FALSE(load(rule({{"text", "a"}}, {{"action", "escalate"}, {"to", "http"}})));
  json twice = rule(json::object(), {{"action", "approve"}});
  twice.push_back(twice[0]);
  EXPECT_FALSE(load(twice));
  auto monitored =
      load(rule(json::object(), {{"action", "escalate"}, {"to", "monitor"}, {"monitor", "m"}}));
  ASSERT_TRUE(monitored);
  EXPECT_FALSE(Gate::make(std::move(*monitored), {})) << "there is no such monitor";
  EXPECT_TRUE(load_gate(GYGES_SOURCE_DIR "/scenarios/ci_delivery/gate.json"));
}

const json ask_person{{"action", "escalate"}, {"to", "person"}, {"timeout_seconds", 1}};

TEST_F(GateTest, NobodyThereIsARejection) {
  ToolDecision decision = decide(rule(json::object(), ask_person), {{"command", "a"}});
  EXPECT_EQ(decision.action, Action::reject);
  EXPECT_THAT(decision.reason, HasSubstr("nobody is there"));
}

TEST_F(GateTest, SaysThatTheEpisodeEndedWhereThatIsWhyNobodyAnswered) {
  Pipe typed = std::move(*make_pipe());
  Pipe seen = std::move(*make_pipe());
  TerminalPerson person(typed.read.get(), seen.write.get());
  json then = ask_person;
  then["timeout_seconds"] = 3600;
  auto loaded = load_gate(write_gate(rule(json::object(), then)));
  ASSERT_TRUE(loaded);
  GateSettings settings;
  settings.person = &person;
  auto gate = Gate::make(std::move(*loaded), settings);
  model::ToolCall call;
  auto decision = (*gate)->decide(
      {call, "", {}, std::chrono::steady_clock::now() + std::chrono::milliseconds(20)});
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->action, Action::reject);
  EXPECT_THAT(decision->reason, HasSubstr("before the episode's time was over"));
}

TEST_F(GateTest, APersonWhoInterruptsIsWaitedForNoLonger) {
  Pipe typed = std::move(*make_pipe());
  Pipe seen = std::move(*make_pipe());
  UniqueFd wish(::eventfd(1, EFD_CLOEXEC));
  TerminalPerson person(typed.read.get(), seen.write.get(), wish.get());
  json then = ask_person;
  then["timeout_seconds"] = 3600;
  GateSettings settings;
  settings.person = &person;
  auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(decide(rule(json::object(), then), {{"command", "ls"}}, "bash", settings).action,
            Action::reject);
  auto answer = person.ask({"May I?", begin + std::chrono::hours(1)});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().line(), HasSubstr("interrupted"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

class PersonTest : public GateTest {
 protected:
  void SetUp() override {
    typed_ = std::move(*make_pipe());
    seen_ = std::move(*make_pipe());
  }
  ToolDecision with_line(const std::string& typed, json then = ask_person) {
    EXPECT_TRUE(write_all(typed_.write.get(), typed));
    TerminalPerson person(typed_.read.get(), seen_.write.get());
    GateSettings settings;
    settings.person = &person;
    return decide(rule(json::object(), then), {{"command", "echo \x1b[2J\nyes"}}, "bash", settings,
                  {}, "\x1b]0;own\a");
  }
  std::string seen() {
    seen_.write.reset();
    return *read_all(seen_.read.get(), 1U << 20U);
  }
  Pipe typed_;
  Pipe seen_;
};

TEST_F(PersonTest, DecidesAtTheTerminal) {
  EXPECT_EQ(with_line("y\n").action, Action::approve);
  ToolDecision no = with_line("n too risky\n");
  EXPECT_EQ(no.action, Action::reject);
  EXPECT_EQ(no.reason, "too risky");
  EXPECT_EQ(no.approver, "person");
  EXPECT_EQ(with_line("t\n").action, Action::terminate);
  EXPECT_EQ(with_line("m {\"command\":\"ls\"}\n").arguments, "{\"command\":\"ls\"}");
  EXPECT_EQ(with_line("yes\nm {\ny\n").action, Action::approve) << "asked until understood";
  std::string shown = seen();
  EXPECT_THAT(shown, Not(HasSubstr("\x1b"))) << "what an agent writes drives no terminal";
  EXPECT_THAT(shown, HasSubstr("Not understood"));
}

TEST_F(PersonTest, FailsClosedOnTimeoutAndOnAnEndedTerminal) {
  ToolDecision late = with_line("");
  EXPECT_EQ(late.action, Action::reject);
  EXPECT_THAT(late.reason, HasSubstr("no decision within 1 seconds"));
  json then = ask_person;
  then["on_timeout"] = "terminate";
  EXPECT_EQ(with_line("", then).action, Action::terminate);
  typed_.write.reset();
  TerminalPerson person(typed_.read.get(), seen_.write.get());
  GateSettings settings;
  settings.person = &person;
  ToolDecision gone =
      decide(rule(json::object(), ask_person), {{"command", "a"}}, "bash", settings);
  EXPECT_EQ(gone.action, Action::reject);
  EXPECT_THAT(gone.reason, HasSubstr("no usable answer"));
}

TEST_F(PersonTest, TheRationaleCanBeWithheld) {
  json then = ask_person;
  then["show_rationale"] = false;
  with_line("y\n", then);
  EXPECT_THAT(seen(), Not(HasSubstr("the agent says")));
}

TEST_F(GateTest, AnHttpCallbackDecides) {
  auto ask = [&](const std::string& status, const std::string& body, std::string* request) {
    ::gyges::testing::LocalHttpServer server({{status, body}});
    ToolDecision decision = decide(rule(json::object(), {{"action", "escalate"},
                                                         {"to", "http"},
                                                         {"url", server.base_url() + "/gate"},
                                                         {"timeout_seconds", 20}}),
                                   {{"command", "a"}});
    if (request != nullptr) *request = server.requests().at(0);
    return decision;
  };
  std::string request;
  EXPECT_EQ(ask("200 OK", R"({"decision":"approve"})", &request).action, Action::approve);
  EXPECT_THAT(request, HasSubstr(R"("arguments":{"command":"a"})"));
  EXPECT_THAT(request, HasSubstr(R"("rationale":"because")"));
  EXPECT_THAT(request, HasSubstr(R"("amounts":{"cost":0.0,)"));
  ToolDecision modified =
      ask("200 OK", R"({"decision":"modify","arguments":{"command":"b"}})", nullptr);
  EXPECT_EQ(modified.arguments, R"({"command":"b"})");
  EXPECT_EQ(modified.approver, "http");
  EXPECT_EQ(ask("200 OK", R"({"decision":"terminate","reason":"x"})", nullptr).action,
            Action::terminate);
  for (const char* body : {"", "yes", "{}", R"({"decision":"perhaps"})", R"({"decision":"modify"})",
                           R"({"decision":"approve","extra":1})"})
    EXPECT_EQ(ask("200 OK", body, nullptr).action, Action::reject) << body;
  EXPECT_EQ(ask("500 Oops", R"({"decision":"approve"})", nullptr).action, Action::reject);
}

TEST_F(GateTest, AnHttpCallbackThatIsSlowOrGoneRejects) {
  std::string gone;
  {
    ::gyges::testing::LocalHttpServer server(
        {{"200 OK", R"({"decision":"approve"})", "", std::chrono::milliseconds(1600)}});
    gone = server.base_url();
    ToolDecision late = decide(rule(json::object(), {{"action", "escalate"},
                                                     {"to", "http"},
                                                     {"url", server.base_url()},
                                                     {"timeout_seconds", 1},
                                                     {"on_timeout", "terminate"}}),
                               {{"command", "a"}});
    EXPECT_EQ(late.action, Action::terminate);
    EXPECT_THAT(late.reason, HasSubstr("no decision within 1 seconds"));
  }
  ToolDecision nobody =
      decide(rule(json::object(), {{"action", "escalate"}, {"to", "http"}, {"url", gone}}), {});
  EXPECT_EQ(nobody.action, Action::reject);
  EXPECT_THAT(nobody.reason, HasSubstr("no usable answer"));
  EXPECT_FALSE(nobody.show_reason) << "what went wrong here is not for the agent";
}

TEST_F(GateTest, WhoeverIsAskedOutsideIsWaitedForNoLongerThanTheAgentWaits) {
  Pipe typed = std::move(*make_pipe());
  Pipe seen = std::move(*make_pipe());
  TerminalPerson person(typed.read.get(), seen.write.get());
  ::gyges::testing::LocalHttpServer server(
      {{"200 OK", R"({"decision":"approve"})", "", std::chrono::milliseconds(1500)}});
  GateSettings settings;
  settings.person = &person;
  for (json then : {json{{"to", "person"}}, json{{"to", "http"}, {"url", server.base_url()}}}) {
    model::Cancellation left;
    unwanted = &left;
    then.update({{"action", "escalate"}, {"timeout_seconds", 600}, {"on_timeout", "terminate"}});
    auto begin = std::chrono::steady_clock::now();
    std::thread agent([&left] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      left.cancel();
    });
    ToolDecision decision =
        decide(rule(json::object(), then), {{"command", "ls"}}, "bash", settings);
    agent.join();
    EXPECT_EQ(decision.action, Action::reject) << "ends no run: nobody was late";
    EXPECT_THAT(decision.reason, HasSubstr("the agent waited for the decision no longer"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1400));
  }
  seen.write.reset();
  EXPECT_THAT(*read_all(seen.read.get(), 1U << 20U), HasSubstr("withdrawn"));
}

TEST_F(GateTest, InAnEpisodeTheFactsStaySeparate) {
  json rules = json::array(
      {{{"name", "short"},
        {"when", {{"text", "sleep"}}},
        {"then", {{"action", "modify"}, {"arguments", {{"command", "echo modified"}}}}}},
       {{"name", "secret"},
        {"when", {{"paths", {"**/drawer/**"}}}},
        {"at_most", 1},
        {"then",
         {{"action", "reject"}, {"reason", "the drawer is closed"}, {"show_reason", false}}}},
       {{"name", "open"},
        {"when", {{"text", "rm "}}},
        {"then", {{"action", "reject"}, {"reason", "no removal"}}}},
       {{"name", "halt"},
        {"when", {{"text", "reboot"}}},
        {"then", {{"action", "terminate"}, {"reason", "enough"}}}}});
  std::vector<json> agent{bash("sleep 0.1"), bash("cat drawer/key.txt"), bash("cat drawer/key.txt"),
                          bash("rm x"),      bash("echo reboot"),        submit("done")};
  EpisodeRequest request = build(agent);
  request.gate = write_gate(rules);
  run(request);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "terminated");
  EXPECT_EQ(outcome_.exit_reason, "rule halt: enough");
  auto decided = of_type("tool_decided");
  std::vector<std::string> decisions;
  for (const auto& line : decided) decisions.push_back(line.at("decision"));
  EXPECT_THAT(decisions, ElementsAre("modified", "rejected", "approved", "rejected", "terminated"));
  EXPECT_EQ(of_type("tool_requested")[0].at("arguments").at("command"), "sleep 0.1");
  EXPECT_EQ(decided[0].at("arguments").at("command"), "echo modified");
  EXPECT_EQ(answer(1), "modified\n");
  EXPECT_EQ(answer(2), "The call was not approved.");
  EXPECT_EQ(decided[1].at("reason"), "the drawer is closed");
  EXPECT_EQ(answer(4), "The call was not approved: no removal");
  EXPECT_EQ(of_type("tool_executed").size(), 2U);
  EXPECT_EQ(run_.at("oversight").at("gate").at("mode"), "enforce");
  EXPECT_TRUE(run_.at("observables").at("items").contains("gate"));

  EpisodeRequest recorded = build(agent);
  recorded.gate = write_gate(rules, "record");
  run(recorded);
  EXPECT_EQ(outcome_.exit_kind, "submitted") << "a gate that records changes nothing";
  decided = of_type("tool_decided");
  EXPECT_EQ(decided[0].at("decision"), "approved");
  EXPECT_EQ(decided[1].at("would"), "rejected");
  EXPECT_EQ(decided[4].at("would"), "terminated");
}

TEST_F(GateTest, TheModeIsAFactor) {
  std::string gate = write_gate(rule({{"text", "echo"}}, {{"action", "reject"}}));
  auto change = [&](json& scenario) {
    scenario["gate"] = gate;
    scenario["factors"]["gate"] = {{"title", "gate"},
                                   {"default", "enforcing"},
                                   {"observables", {"gate"}},
                                   {"levels",
                                    {{"enforcing", {{"title", "enforcing"}, {"gate", "enforce"}}},
                                     {"recording", {{"title", "recording"}, {"gate", "record"}}}}}};
  };
  EpisodeRequest request = build({bash("echo a"), submit("done")}, change);
  run(request);
  if (IsSkipped()) return;
  EXPECT_EQ(of_type("tool_executed").size(), 1U);
  json hash = run_.at("observables").at("items").at("gate");
  request.condition = {{"gate", "recording"}};
  request.out = directory_.path() / "recording";
  run(request);
  EXPECT_EQ(of_type("tool_executed").size(), 2U);
  EXPECT_NE(run_.at("observables").at("items").at("gate"), hash);
  auto undeclared = check_episode(build({submit("x")}, [&](json& scenario) {
    change(scenario);
    scenario["factors"]["gate"]["observables"] = json::array();
  }));
  EXPECT_FALSE(undeclared);
}

}  // namespace
}  // namespace gyges::episode
