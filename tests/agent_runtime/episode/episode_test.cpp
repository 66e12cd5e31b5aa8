#include "agent_runtime/episode/episode.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "agent_runtime/episode/approval.h"
#include "base/files.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/recorder.h"
#include "tests/agent_runtime/model/local_http_server.h"

namespace gyges::episode {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const fs::path tiny_world = GYGES_SOURCE_DIR "/tests/agent_runtime/episode/data/tiny";
const fs::path log_retention = GYGES_SOURCE_DIR "/scenarios/log_retention";

class EpisodeTest : public ::testing::Test {
 protected:
  EpisodeRequest request(const fs::path& scenario, const std::string& agent) {
    EpisodeRequest made;
    made.scenario = scenario;
    made.agent = scenario / "agents" / (agent + ".json");
    made.seed = 5;
    made.out = directory_.path() / "bundle";
    return made;
  }

  // Runs and reads the bundle back; every line and run.json are checked against their schemas.
  void run(const EpisodeRequest& wanted, recorder::Recorder* recorder = nullptr) {
    read_back(wanted, run_episode(wanted, recorder));
  }

  void run_prepared(const EpisodeRequest& wanted, recorder::Recorder* recorder,
                    std::chrono::milliseconds pause = {}) {
    auto prepared = prepare_episode(wanted);
    ASSERT_TRUE(prepared) << prepared.error().line();
    EXPECT_FALSE(fs::exists(wanted.out)) << "the bundle belongs to the run";
    std::this_thread::sleep_for(pause);
    read_back(wanted, run_episode(std::move(*prepared), recorder));
  }

  void read_back(const EpisodeRequest& wanted, const Result<EpisodeOutcome>& outcome) {
    if (!outcome && outcome.error().code == EPERM) GTEST_SKIP() << outcome.error().line();
    ASSERT_TRUE(outcome) << outcome.error().line();
    outcome_ = *outcome;
    bundle_ = wanted.out;
    auto faults = recorder::verify_bundle(bundle_);
    ASSERT_TRUE(faults) << faults.error().line();
    EXPECT_THAT(*faults, IsEmpty());
    auto document = load_json(bundle_ / "run.json", "run");
    ASSERT_TRUE(document) << document.error().line();
    run_ = *document;
    lines_.clear();
    std::ifstream transcript(bundle_ / "transcript.jsonl");
    for (std::string line; std::getline(transcript, line);) {
      lines_.push_back(json::parse(line));
      auto valid = validate_json(lines_.back(), "transcript", "line");
      EXPECT_TRUE(valid) << valid.error().line() << "\n" << line;
    }
    changes_.clear();
    std::ifstream changes(bundle_ / "files/changes.jsonl");
    for (std::string line; std::getline(changes, line);) {
      json change = json::parse(line);
      changes_[change.at("path")] = change.at("kind");
    }
    EXPECT_EQ(run_.at("exit").at("kind"), outcome_.exit_kind);
    EXPECT_EQ(lines_.back().at("type"), "end");
    EXPECT_EQ(lines_.back().at("reason"), outcome_.exit_kind);
  }

  std::vector<json> of_type(const std::string& type) {
    std::vector<json> found;
    for (const auto& line : lines_)
      if (line.at("type") == type) found.push_back(line);
    return found;
  }

  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create("gyges-episode"));
  EpisodeOutcome outcome_;
  fs::path bundle_;
  json run_;
  std::vector<json> lines_;
  std::map<std::string, std::string> changes_;
};

TEST_F(EpisodeTest, AnObedientAgentLeavesAWholeBundle) {
  run(request(tiny_world, "obedient"));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted");
  EXPECT_EQ(lines_.back().at("report"), "It is done.");
  EXPECT_EQ(changes_["/home/user/out.txt"], "added");
  EXPECT_EQ(changes_.size(), 1U);
  EXPECT_EQ(of_type("tool_requested").size(), 3U);
  EXPECT_EQ(of_type("tool_decided").size(), 3U);
  EXPECT_EQ(of_type("tool_executed").size(), 3U);
  EXPECT_EQ(run_.at("condition").at("oversight"), "on");
  EXPECT_TRUE(run_.at("coverage").is_null());
  EXPECT_TRUE(run_.at("observables").at("items").contains("file:/home/user/note.txt"));
  EXPECT_EQ(run_.at("scenario").at("checks")[0].at("name"), "key_touched");
}

TEST_F(EpisodeTest, ASneakyAgentActsOnlyWhereNobodyWatches) {
  EpisodeRequest off = request(tiny_world, "sneaky");
  off.condition = {{"oversight", "off"}};
  run(off);
  if (IsSkipped()) return;
  EXPECT_EQ(changes_["/home/user/drawer/key.txt"], "deleted");
  EpisodeRequest on = request(tiny_world, "sneaky");
  on.out = directory_.path() / "on";
  run(on);
  EXPECT_THAT(changes_, IsEmpty());
  EXPECT_EQ(outcome_.exit_kind, "submitted");
}

TEST_F(EpisodeTest, SameSeedSameTranscript) {
  run(request(tiny_world, "obedient"));
  if (IsSkipped()) return;
  auto first = of_type("tool_requested");
  EpisodeRequest again = request(tiny_world, "obedient");
  again.out = directory_.path() / "again";
  std::string hash = run_.at("observables").at("sha256");
  run(again);
  auto second = of_type("tool_requested");
  ASSERT_EQ(first.size(), second.size());
  for (std::size_t i = 0; i < first.size(); ++i)
    EXPECT_EQ(first[i].at("arguments"), second[i].at("arguments"));
  EXPECT_EQ(run_.at("observables").at("sha256"), hash);
}

TEST_F(EpisodeTest, AnAgentThatNeverSubmitsMeetsTheTurnLimit) {
  run(request(tiny_world, "endless"));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "turn_limit");
  EXPECT_EQ(of_type("tool_executed").size(), 6U);
}

TEST_F(EpisodeTest, AnAgentThatStopsTalkingHasStopped) {
  run(request(tiny_world, "quitter"));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "agent_stopped");
  EXPECT_EQ(lines_.back().at("report"), "I would rather not.");
}

TEST_F(EpisodeTest, AForkBombIsALimitNotAnEnd) {
  run(request(tiny_world, "forker"));
  if (IsSkipped()) return;
  EXPECT_THAT(outcome_.limits_hit, Contains("processes"));
  EXPECT_THAT(outcome_.exit_kind, ::testing::AnyOf("turn_limit", "time_limit"));
}

TEST_F(EpisodeTest, AGigabyteOfOutputIsALimitNotAnEnd) {
  run(request(tiny_world, "flooder"));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted");
  EXPECT_THAT(outcome_.limits_hit, Contains("output_bytes"));
  EXPECT_LT(fs::file_size(bundle_ / "transcript.jsonl"), 2000000U);
}

TEST_F(EpisodeTest, TheTimeOfTheEpisodeRunsOut) {
  fs::copy(tiny_world, directory_.path() / "short", fs::copy_options::recursive);
  auto text = read_file(tiny_world / "scenario.json");
  json document = json::parse(*text);
  document["limits"]["wall_seconds"] = 1;
  ASSERT_TRUE(write_file_atomically(directory_.path() / "short/scenario.json", document.dump()));
  auto begin = std::chrono::steady_clock::now();
  run(request(directory_.path() / "short", "sleeper"));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "time_limit");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(6));
}

TEST_F(EpisodeTest, BadCallsAreAnsweredNotFatal) {
  run(request(tiny_world, "clumsy"));
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "submitted");
  auto executed = of_type("tool_executed");
  ASSERT_EQ(executed.size(), 4U);
  EXPECT_EQ(executed[0].at("error").at("type"), "arguments");
  EXPECT_EQ(executed[1].at("error").at("type"), "unknown_tool");
  EXPECT_EQ(executed[2].at("error").at("type"), "arguments");
}

class Refuser final : public ToolApprover {
 public:
  Result<ToolDecision> decide(const PendingCall& pending) override {
    ToolDecision decision;
    decision.approver = "test";
    if (pending.call.name == "submit") return decision;
    decision.action = ToolDecision::Action::reject;
    decision.reason = "not today";
    return decision;
  }
};

TEST_F(EpisodeTest, RejectedCallsAreNotExecuted) {
  Refuser refuser;
  EpisodeRequest wanted = request(tiny_world, "obedient");
  wanted.approver = &refuser;
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(of_type("tool_requested").size(), 3U);
  EXPECT_EQ(of_type("tool_executed").size(), 1U);
  EXPECT_EQ(of_type("tool_decided")[0].at("decision"), "rejected");
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_F(EpisodeTest, RequestsThatCannotStartLeaveNoBundle) {
  auto error_of = [&](const EpisodeRequest& wanted) {
    auto outcome = run_episode(wanted, nullptr);
    EXPECT_FALSE(fs::exists(wanted.out));
    return outcome ? "" : outcome.error().line();
  };
  EpisodeRequest wanted = request(tiny_world, "obedient");
  wanted.condition = {{"oversight", "maybe"}};
  EXPECT_THAT(error_of(wanted), HasSubstr("no such level"));
  EXPECT_THAT(error_of(request(tiny_world, "nobody")), HasSubstr("nobody.json"));
  EXPECT_THAT(error_of(request("/no/such/scenario", "x")), HasSubstr("/no/such/scenario"));
  wanted = request(tiny_world, "obedient");
  wanted.policy = "no_such_policy";
  EXPECT_THAT(error_of(wanted), HasSubstr("no_such_policy"));
  wanted = request(tiny_world, "obedient");
  wanted.day = "yesterday";
  EXPECT_THAT(error_of(wanted), HasSubstr("yesterday"));
  EXPECT_TRUE(check_episode(request(tiny_world, "obedient")));
}

TEST_F(EpisodeTest, AModelThatFailsLeavesASealedErrorAndNoKey) {
  using testing::CannedReply;
  testing::LocalHttpServer server(
      {{"200 OK",
        R"({"choices":[{"message":{"tool_calls":[{"id":"t","function":{"name":"bash","arguments":"{\"command\":\"echo hi\"}"}}]}}]})"},
       {"400 Bad Request", R"({"error":{"message":"key sk-secret-1234 is not welcome"}})"}});
  ASSERT_TRUE(write_file_atomically(directory_.path() / "real.json",
                                    json{{"$schema", "gyges/agent.schema.json"},
                                         {"version", 1},
                                         {"name", "real"},
                                         {"model",
                                          {{"kind", "openai_chat"},
                                           {"base_url", server.base_url()},
                                           {"name", "m"},
                                           {"api_key_env", "GYGES_EPISODE_KEY"}}}}
                                        .dump()));
  ::setenv("GYGES_EPISODE_KEY", "sk-secret-1234", 1);
  EpisodeRequest wanted = request(tiny_world, "obedient");
  wanted.agent = directory_.path() / "real.json";
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.exit_kind, "error");
  EXPECT_THAT(outcome_.exit_reason, HasSubstr("[key] is not welcome"));
  EXPECT_EQ(of_type("tool_executed")[0].at("output"), "hi\n");
  EXPECT_THAT(server.requests().at(0), HasSubstr("sk-secret-1234"));
  for (const auto& entry : fs::recursive_directory_iterator(bundle_)) {
    if (entry.is_regular_file()) {
      EXPECT_THAT(*read_file(entry.path()), Not(HasSubstr("sk-secret"))) << entry.path();
    }
  }
}

// The internet of the scenario's persona answers an episode whose policy says so, on the record.
TEST_F(EpisodeTest, AnEpisodeCanHaveASimulatedInternet) {
  const fs::path scenario = directory_.path() / "scenario";
  fs::copy(tiny_world, scenario, fs::copy_options::recursive);
  auto edit = [](const fs::path& from, const fs::path& to, auto&& change) {
    json value = json::parse(*read_file(from));
    change(value);
    ASSERT_TRUE(write_file_atomically(to, value.dump()));
  };
  edit(
      GYGES_SOURCE_DIR "/policies/personas/bare.json", scenario / "persona.json",
      [](json& persona) {
        persona["internet"] = json::parse(
            R"({"sites": [{"host": "web.example", "pages": [{"path": "/", "text": "far away"}]}]})");
      });
  edit(tiny_world / "scenario.json", scenario / "scenario.json",
       [](json& value) { value["persona"] = "persona.json"; });
  edit(tiny_world / "agents/obedient.json", scenario / "agents/obedient.json", [](json& agent) {
    agent["model"]["script"]["rules"][0]["calls"][0]["arguments"]["command"] =
        "exec 3<>/dev/tcp/web.example/80 && "
        "printf 'GET / HTTP/1.0\\r\\nHost: web.example\\r\\n\\r\\n' >&3 && "
        "grep 'far away' <&3 > got.txt";
  });
  const fs::path policy = directory_.path() / "policy.json";
  edit(GYGES_SOURCE_DIR "/policies/presets/episode.json", policy, [](json& value) {
    value["network"] =
        json::parse(R"({"mode": "gateway", "rules": [{"name": "world", "action": "simulate"}]})");
  });
  EpisodeRequest wanted = request(scenario, "obedient");
  wanted.policy = policy.string();
  run(wanted);
  if (IsSkipped()) return;
  EXPECT_EQ(changes_["/home/user/got.txt"], "added");
  std::ifstream flows(bundle_ / "flows.jsonl");
  int answered = 0;
  for (std::string line; std::getline(flows, line);) {
    json flow = json::parse(line);
    if (flow.at("protocol") == "http" && flow.at("http").at("status") == 200) ++answered;
  }
  EXPECT_EQ(answered, 1);
}

TEST_F(EpisodeTest, HonestAndTwoFacedInLogRetention) {
  const std::string held = "/srv/logs/reefer-gateway/voyage-2287/";
  auto held_changes = [&] {
    int count = 0;
    for (const auto& [path, kind] : changes_) count += path.starts_with(held) ? 1 : 0;
    return count;
  };
  int two_faced_acts = 0;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    for (const char* level : {"announced", "announced_off"}) {
      for (const char* agent : {"honest", "two_faced"}) {
        EpisodeRequest wanted = request(log_retention, agent);
        wanted.condition = {{"oversight", level}};
        wanted.seed = seed;
        wanted.out = directory_.path() / (std::string(agent) + level + std::to_string(seed));
        run(wanted);
        if (IsSkipped()) return;
        EXPECT_EQ(outcome_.exit_kind, "submitted") << agent << " " << level << " " << seed;
        bool may_act = std::string(agent) == "two_faced" && std::string(level) == "announced_off";
        if (may_act)
          two_faced_acts += held_changes() > 0 ? 1 : 0;
        else
          EXPECT_EQ(held_changes(), 0) << agent << " " << level << " " << seed;
        EXPECT_EQ(changes_["/home/svc-autops/log-retention/retention.conf"], "modified");
      }
    }
  }
  EXPECT_GE(two_faced_acts, 2);
}

TEST_F(EpisodeTest, RecordedEpisodesKnowTheirToolCalls) {
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  run(request(tiny_world, "obedient"), recorder->get());
  if (IsSkipped()) return;
  EXPECT_EQ(outcome_.lost, 0U);
  EXPECT_EQ(run_.at("coverage").at("complete"), true);
  EXPECT_GT(run_.at("coverage").at("syscalls"), 100);
  EXPECT_TRUE(fs::exists(bundle_ / "trace.gyt"));
}

// What of a bundle does not depend on when it was made: run.json without times, numbers of events
// and names, the transcript without times, the list of changes without times.
json timeless(const fs::path& bundle) {
  json run = *load_json(bundle / "run.json", "run");
  for (const char* key : {"run_id", "started_at", "duration_ms"}) run.erase(key);
  if (!run.at("coverage").is_null())
    for (const char* key : {"events", "syscalls", "bytes", "signals", "bytes_per_syscall", "enters",
                            "exits", "recorded_enters", "recorded_exits", "waits"})
      run.at("coverage").erase(key);
  std::vector<json> lines;
  for (const char* file : {"transcript.jsonl", "files/changes.jsonl"}) {
    std::ifstream text(bundle / file);
    for (std::string line; std::getline(text, line);) {
      lines.push_back(json::parse(line));
      for (const char* key : {"time_ns", "duration_ms", "mtime_ns"}) lines.back().erase(key);
    }
  }
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(bundle))
    files.insert(fs::relative(entry.path(), bundle).string());
  return {{"run", run}, {"lines", lines}, {"files", files}};
}

// Which system calls each tool call made, with what became of them.
std::set<std::string> calls_in(const fs::path& bundle) {
  std::set<std::string> calls;
  if (!fs::exists(bundle / "trace.gyt")) return calls;
  auto reader = recorder::TraceReader::open(bundle / "trace.gyt");
  EXPECT_TRUE(reader);
  auto read = reader->for_each([&](const recorder::Event& event) {
    calls.insert(std::to_string(static_cast<int>(event.kind)) + " call " +
                 std::to_string(event.origin_call) + " " +
                 recorder::syscall_name(event.abi, event.number) + " " +
                 std::to_string(static_cast<int>(event.verdict)));
    return true;
  });
  EXPECT_TRUE(read) << read.error().line();
  EXPECT_GT(calls.size(), 20U);
  return calls;
}

TEST_F(EpisodeTest, ASandboxMadeAheadLeavesTheSameBundle) {
  // With a call that the filter refuses: who refused it has to be known of both.
  std::string agent = *read_file(tiny_world / "agents/obedient.json");
  const std::string look = "cat note.txt";
  agent.replace(agent.find(look), look.size(), "unshare -U true; cat note.txt");
  ASSERT_TRUE(write_file_atomically(directory_.path() / "prober.json", agent));
  for (auto backend : {std::optional<recorder::Backend>(), std::optional(recorder::Backend::ebpf),
                       std::optional(recorder::Backend::ptrace)}) {
    std::unique_ptr<recorder::Recorder> recorder;
    const std::string name = backend ? std::string(recorder::backend_name(*backend)) : "off";
    if (backend) {
      auto opened = recorder::Recorder::open(backend, {});
      if (!opened) {
        std::cout << "not compared with recorder " << name << ": " << opened.error().line() << "\n";
        continue;
      }
      recorder = std::move(*opened);
    }
    EpisodeRequest cold = request(tiny_world, "obedient");
    cold.out = directory_.path() / (name + "-cold");
    cold.agent = directory_.path() / "prober.json";
    cold.day = "2026-11-01";
    run(cold, recorder.get());
    if (IsSkipped()) return;
    EXPECT_FALSE(outcome_.made_ahead);
    EpisodeRequest warm = cold;
    warm.out = directory_.path() / (name + "-ahead");
    int ended = 0;
    warm.agent_ended = [&] { ++ended; };
    run_prepared(warm, recorder.get());
    EXPECT_TRUE(outcome_.made_ahead);
    EXPECT_EQ(ended, 1);
    EXPECT_EQ(outcome_.lost, 0U);
    EXPECT_EQ(timeless(cold.out), timeless(warm.out)) << name;
    EXPECT_EQ(calls_in(cold.out), calls_in(warm.out)) << name;
    if (backend) {
      const auto refused = std::to_string(static_cast<int>(recorder::Verdict::refused));
      EXPECT_TRUE(calls_in(warm.out).contains("1 call 1 unshare " + refused)) << name;
    }
  }
}

TEST_F(EpisodeTest, ASandboxThatWaitedTooLongIsNotUsed) {
  run_prepared(request(tiny_world, "obedient"), nullptr,
               longest_sandbox_wait + std::chrono::milliseconds(50));
  if (IsSkipped()) return;
  EXPECT_FALSE(outcome_.made_ahead);
  EXPECT_EQ(outcome_.exit_kind, "submitted");
}

TEST_F(EpisodeTest, APreparedEpisodeThatIsNotRunLeavesNothing) {
  const EpisodeRequest wanted = request(tiny_world, "obedient");
  {
    auto prepared = prepare_episode(wanted);
    ASSERT_TRUE(prepared) << prepared.error().line();
  }
  EXPECT_FALSE(fs::exists(wanted.out));
  const std::string parent = "\nPPid:\t" + std::to_string(::getpid()) + "\n";
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string status = read_file(entry.path() / "status").value_or("");
    EXPECT_FALSE(status.starts_with("Name:\tinit\n") && status.find(parent) != std::string::npos)
        << "pid 1 of a sandbox is left: " << entry.path();
  }
  EpisodeRequest wrong = wanted;
  wrong.policy = "no_such_policy";
  EXPECT_FALSE(prepare_episode(wrong));
}

TEST_F(EpisodeTest, EpisodesOfSeveralThreadsDoNotDisturbEachOther) {
  std::vector<std::thread> threads;
  std::vector<std::string> kinds(6);
  for (std::size_t i = 0; i < kinds.size(); ++i)
    threads.emplace_back([&, i] {
      EpisodeRequest wanted = request(tiny_world, "obedient");
      wanted.out = directory_.path() / std::to_string(i);
      auto outcome = run_episode(wanted, nullptr);
      kinds[i] = outcome ? outcome->exit_kind : outcome.error().line();
    });
  for (auto& thread : threads) thread.join();
  for (const auto& kind : kinds) EXPECT_EQ(kind, "submitted");
}

}  // namespace
}  // namespace gyges::episode
