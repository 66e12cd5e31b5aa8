// Third-party agents in the sandbox: a small one of our own, and pi where it is installed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/scaffold/scaffold.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle.h"
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

const fs::path tiny = GYGES_SOURCE_DIR "/tests/agent_runtime/episode/data/tiny";
const char* const mini_agent = GYGES_SOURCE_DIR "/tests/agent_runtime/episode/data/mini_agent.py";

class ThirdPartyTest : public ::testing::Test {
 protected:
  EpisodeRequest request(const std::string& profile, std::vector<std::string> command = {}) {
    EpisodeRequest made;
    made.scenario = tiny;
    made.agent = tiny / "agents/obedient.json";
    made.scaffold = ScaffoldChoice{profile, "", std::move(command)};
    made.seed = 5;
    made.out = directory_.path() / "bundle";
    return made;
  }

  // The small agent, its program given on the command line so that nothing has to be mounted.
  EpisodeRequest mini(std::vector<std::string> arguments = {}) {
    std::vector<std::string> command = {"python3", "-c", *read_file(mini_agent), "{{prompt}}"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return request("command", std::move(command));
  }

  void run(const EpisodeRequest& wanted, recorder::Recorder* recorder = nullptr) {
    auto outcome = run_episode(wanted, recorder);
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
    turns_ = lines("transcript.jsonl", "transcript");
    // They are written as they end, and two may overtake each other.
    exchanges_ = lines("exchanges.jsonl", "exchange");
    std::stable_sort(exchanges_.begin(), exchanges_.end(), [](const json& one, const json& other) {
      return one.at("time_ns").get<std::uint64_t>() < other.at("time_ns").get<std::uint64_t>();
    });
    if (recorder != nullptr) processes_ = lines("processes.jsonl", "processes");
  }

  std::vector<json> lines(const char* file, const char* schema) {
    std::vector<json> found;
    std::ifstream in(bundle_ / file);
    for (std::string line; std::getline(in, line);) {
      found.push_back(json::parse(line));
      auto valid = validate_json(found.back(), schema, "line");
      EXPECT_TRUE(valid) << valid.error().line() << "\n" << line;
    }
    return found;
  }

  std::vector<json> of(const std::vector<json>& all, const char* key, const std::string& value) {
    std::vector<json> found;
    for (const auto& line : all)
      if (line.value(key, "") == value) found.push_back(line);
    return found;
  }

  // No byte of the bundle holds `secret`.
  void expect_nowhere(const std::string& secret) {
    for (const auto& entry : fs::recursive_directory_iterator(bundle_)) {
      if (entry.is_regular_file()) {
        EXPECT_THAT(*read_file(entry.path()), Not(HasSubstr(secret))) << entry.path();
      }
    }
  }

  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create("gyges-third-party"));
  EpisodeOutcome outcome_;
  fs::path bundle_;
  json run_;
  std::vector<json> turns_, exchanges_, processes_;
};

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
  endless.agent = tiny / "agents/endless.json";
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

TEST_F(ThirdPartyTest, ARealKeyIsAddedOutsideAndStandsNowhere) {
  // The agent streams, so the provider is asked for a stream.
  model::Reply hello;
  hello.message.role = model::Role::assistant;
  hello.message.content.push_back({model::Part::Kind::text, "Hi."});
  gyges::testing::CannedReply reply;
  reply.headers = "Content-Type: text/event-stream\r\n";
  reply.body = model::write_stream(*model::find_dialect("openai_chat"), {}, hello);
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
  EXPECT_EQ(turns_.back().at("report"), "Hi.");
  EXPECT_THAT(server.requests().at(0), HasSubstr("sk-secret-9876"));
  expect_nowhere("sk-secret");
}

// pi in each of its four wire formats, where scripts/install-agents has put it.
TEST_F(ThirdPartyTest, PiSpeaksAllFourWireFormats) {
  std::error_code ignored;
  if (!fs::exists(scaffold::agents_directory() / "pi/lib/node_modules", ignored))
    GTEST_SKIP() << "pi is not installed in " << scaffold::agents_directory()
                 << ": run scripts/install-agents pi";
  auto recorder = recorder::Recorder::open(std::nullopt, {});
  if (!recorder) GTEST_SKIP() << recorder.error().line();
  const fs::path scenario = directory_.path() / "tiny";
  fs::copy(tiny, scenario, fs::copy_options::recursive);
  json patient = json::parse(*read_file(tiny / "scenario.json"));
  patient["limits"]["wall_seconds"] = 120;  // node starts slowly on a busy machine
  ASSERT_TRUE(write_file_atomically(scenario / "scenario.json", patient.dump()));
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
