// gyges experiment on real episodes, as a user types it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "agent_runtime/experiment/directory.h"
#include "agent_runtime/experiment/worker_protocol.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle.h"
#include "tests/agent_runtime/experiment/started_command.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using namespace std::chrono_literals;

class ExperimentCommand : public testing::Test {
 protected:
  void SetUp() override {
    auto made = TemporaryDirectory::create("gyges-experiment-command");
    ASSERT_TRUE(made) << made.error().line();
    temporary_.emplace(std::move(*made));
    write_file(2);
  }
  void write_file(int repeats) const {
    json document{{"$schema", "gyges/experiment.schema.json"},
                  {"version", 1},
                  {"name", "test"},
                  {"scenarios", {GYGES_SOURCE_DIR "/scenarios/log_retention"}},
                  {"agents", {"honest", "two_faced"}},
                  {"factors", {{"oversight", {"announced", "announced_off"}}}},
                  {"repeats", repeats},
                  {"seed", 5},
                  {"jobs", 2}};
    std::ofstream(file()) << document;
  }
  [[nodiscard]] fs::path path() const { return temporary_->path(); }
  [[nodiscard]] fs::path file() const { return path() / "e.experiment.json"; }
  [[nodiscard]] fs::path out() const { return path() / "out"; }
  [[nodiscard]] fs::path log() const { return path() / "output.txt"; }

  [[nodiscard]] std::vector<std::string> run_command() const {
    return {GYGES_BINARY, "experiment", "run", file().string(), "--out", out().string()};
  }
  [[nodiscard]] CommandEnd gyges(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), GYGES_BINARY);
    return StartedCommand(arguments, path() / "other.txt").wait();
  }
  [[nodiscard]] std::set<std::string> slots() const {
    auto found = finished_slots(out());
    return found ? std::move(*found) : std::set<std::string>{};
  }
  [[nodiscard]] std::size_t finished() const { return slots().size(); }
  void wait_for_finished(std::size_t runs) const {
    for (int i = 0; i < 6000 && finished() < runs; ++i) std::this_thread::sleep_for(5ms);
    ASSERT_GE(finished(), runs);
  }
  // Run ids by slot: a run that was repeated has another one.
  [[nodiscard]] std::map<std::string, std::string> run_ids() const {
    std::map<std::string, std::string> ids;
    for (const std::string& slot : slots()) {
      auto run = load_json(runs_directory(out()) / slot / "run.json", "run");
      ids[slot] = run ? run->at("run_id").get<std::string>() : run.error().line();
    }
    return ids;
  }
  void expect_whole_bundles() const {
    for (const std::string& slot : slots()) {
      auto faults = recorder::verify_bundle(runs_directory(out()) / slot);
      ASSERT_TRUE(faults) << faults.error().line();
      EXPECT_TRUE(faults->empty()) << slot << ": " << faults->front().reason;
    }
  }

 private:
  std::optional<TemporaryDirectory> temporary_;
};

// What a worker says to two assignments.
TEST_F(ExperimentCommand, EpisodesTakeSandboxesMadeAhead) {
  std::string lines;
  for (const char* slot : {"one", "two"}) {
    Assignment assignment;
    assignment.slot = slot;
    assignment.request.scenario = GYGES_SOURCE_DIR "/scenarios/log_retention";
    assignment.request.agent = assignment.request.scenario / "agents/honest.json";
    assignment.request.out = path() / slot;
    lines += encode(assignment);
  }
  std::ofstream(path() / "assignments") << lines;
  const std::string command = std::string(GYGES_BINARY) + " experiment worker --recorder off <" +
                              (path() / "assignments").string();
  CommandEnd end = StartedCommand({"/bin/sh", "-c", command}, log()).wait();
  ASSERT_EQ(end.exit_status, 0) << end.output;
  std::istringstream text(end.output);
  std::vector<std::string> said;
  for (std::string line; std::getline(text, line);) {
    json message = json::parse(line);
    said.push_back(message.at("type").get<std::string>() + message.value("slot", ""));
    if (message.at("type") != "done") continue;
    EXPECT_EQ(message.at("outcome").at("exit_kind"), "submitted");
    // The second may have waited too long on a machine under load.
    if (message.at("slot") == "one") {
      EXPECT_TRUE(message.at("outcome").at("made_ahead"));
    }
  }
  EXPECT_THAT(said,
              testing::ElementsAre("ready", "finishingone", "doneone", "finishingtwo", "donetwo"));
  for (const char* slot : {"one", "two"}) {
    auto faults = recorder::verify_bundle(path() / slot);
    ASSERT_TRUE(faults) << faults.error().line();
    EXPECT_TRUE(faults->empty());
  }
}

TEST_F(ExperimentCommand, RunsToTheEndAndPairsShareTheirSeed) {
  CommandEnd end = StartedCommand(run_command(), log()).wait();
  ASSERT_EQ(end.exit_status, 0) << end.output;
  EXPECT_EQ(finished(), 8U);
  expect_whole_bundles();
  std::map<std::string, std::set<std::uint64_t>> seeds;
  for (const std::string& slot : slots()) {
    auto run = load_json(runs_directory(out()) / slot / "run.json", "run");
    ASSERT_TRUE(run) << run.error().line();
    seeds[run->at("agent").at("name").get<std::string>() + run->at("repeat").dump()].insert(
        run->at("seed").get<std::uint64_t>());
    EXPECT_EQ(run->at("lost"), 0) << slot;
  }
  EXPECT_EQ(seeds.size(), 4U);
  for (const auto& [pair, of_pair] : seeds) EXPECT_EQ(of_pair.size(), 1U) << pair;

  CommandEnd status = gyges({"experiment", "status", out().string(), "--json"});
  ASSERT_EQ(status.exit_status, 0) << status.output;
  json report = json::parse(status.output);
  EXPECT_EQ(report.at("finished"), 8);
  EXPECT_EQ(report.at("indexed"), 8);
  EXPECT_EQ(report.at("running"), false);
}

// The conditions are audited once; a difference that no factor declares stops the experiment.
TEST_F(ExperimentCommand, AuditsItsConditionsBeforeTheFirstRun) {
  write_file(1);
  ASSERT_EQ(StartedCommand(run_command(), log()).wait().exit_status, 0);
  auto audit = load_json(out() / "audit.json", "audit");
  ASSERT_TRUE(audit) << audit.error().line();
  EXPECT_TRUE(audit->at("scenarios").at(0).at("undeclared").empty()) << audit->dump(2);
  EXPECT_FALSE(audit->at("scenarios").at(0).at("declared").empty());
  for (const char* kept : {"leaks", "contradictions"})
    EXPECT_TRUE(audit->at("scenarios").at(0).at(kept).is_array()) << kept;
  EXPECT_EQ(audit->at("undeclared_allowed"), false);
  CommandEnd again = gyges({"experiment", "resume", out().string()});
  ASSERT_EQ(again.exit_status, 0) << again.output;
  EXPECT_EQ(*load_json(out() / "audit.json", "audit"), *audit) << "it was made again";

  // As if the audit had found one: no condition of a scenario can be made to have it from outside.
  audit->at("scenarios").at(0).at("undeclared").push_back("K1.uname.release");
  std::ofstream(out() / "audit.json") << *audit;
  CommandEnd refused = gyges({"experiment", "resume", out().string()});
  EXPECT_EQ(refused.exit_status, 125);
  EXPECT_THAT(refused.output, HasSubstr("K1.uname.release"));
  EXPECT_THAT(refused.output, HasSubstr("--allow-undeclared-differences"));
  CommandEnd allowed =
      gyges({"experiment", "resume", "--allow-undeclared-differences", out().string()});
  EXPECT_EQ(allowed.exit_status, 0) << allowed.output;
  EXPECT_EQ(load_json(out() / "audit.json", "audit")->at("undeclared_allowed"), true);
}

TEST_F(ExperimentCommand, KilledRunnerLosesAndRepeatsNothing) {
  write_file(4);
  std::map<std::string, std::string> kept;
  for (std::size_t wanted : {1U, 4U, 7U}) {
    StartedCommand runner(run_command(), log());
    wait_for_finished(wanted);
    auto below = descendants(runner.pid());
    EXPECT_FALSE(below.empty());
    runner.signal(SIGKILL);
    EXPECT_EQ(runner.wait().signal, SIGKILL);
    EXPECT_TRUE(survivors(below, 5s).empty()) << "processes outlived the runner";
    auto now = run_ids();
    for (const auto& [slot, id] : kept) EXPECT_EQ(now[slot], id) << slot;
    kept = std::move(now);
  }
  CommandEnd end = gyges({"experiment", "resume", out().string()});
  ASSERT_EQ(end.exit_status, 0) << end.output;
  auto now = run_ids();
  EXPECT_EQ(now.size(), 16U);
  for (const auto& [slot, id] : kept) EXPECT_EQ(now[slot], id) << slot;
  expect_whole_bundles();
  EXPECT_TRUE(fs::is_empty(out() / "partial"));
}

TEST_F(ExperimentCommand, InterruptedRunnerSaysHowToGoOn) {
  write_file(10);
  StartedCommand runner(run_command(), log());
  wait_for_finished(2);
  auto below = descendants(runner.pid());
  runner.signal(SIGINT);
  CommandEnd end = runner.wait();
  EXPECT_EQ(end.exit_status, 130) << end.output;
  EXPECT_THAT(end.output, HasSubstr("gyges experiment resume " + out().string()));
  EXPECT_TRUE(survivors(below, 5s).empty());
  EXPECT_TRUE(fs::is_empty(out() / "partial"));
  EXPECT_LT(finished(), 40U);
  expect_whole_bundles();
}

// Before the first run, while the conditions are looked at.
TEST_F(ExperimentCommand, InterruptedAuditEndsInOrderAndIsMadeAgain) {
  write_file(1);
  StartedCommand runner(run_command(), log());
  // The record comes before the audit, whose sandboxes are the first children.
  std::vector<ProcessId> below;
  for (int i = 0; i < 6000 && below.empty(); ++i) {
    std::this_thread::sleep_for(2ms);
    below = descendants(runner.pid());
  }
  ASSERT_FALSE(below.empty());
  ASSERT_FALSE(fs::exists(out() / "audit.json"));
  runner.signal(SIGINT);
  CommandEnd end = runner.wait();
  EXPECT_EQ(end.exit_status, 130) << end.signal << end.output;
  EXPECT_THAT(end.output, HasSubstr("0 of 4 runs finished"));
  EXPECT_THAT(end.output, HasSubstr("gyges experiment resume " + out().string()));
  EXPECT_TRUE(survivors(below, 5s).empty());
  EXPECT_EQ(finished(), 0U);
  EXPECT_FALSE(fs::exists(out() / "audit.json")) << "an audit that was not finished is none";
  CommandEnd resumed = gyges({"experiment", "resume", out().string()});
  EXPECT_EQ(resumed.exit_status, 0) << resumed.output;
  EXPECT_EQ(finished(), 4U);
  EXPECT_TRUE(fs::exists(out() / "audit.json"));
}

// Ctrl-C on a terminal meets what reads the conditions, too.
TEST_F(ExperimentCommand, SignalToAllOfTheAuditIsNoFailedAudit) {
  write_file(1);
  std::vector<std::string> command = run_command();
  command.insert(command.begin(), {"/usr/bin/setsid", "--wait"});
  StartedCommand session(command, log());
  std::vector<ProcessId> below;
  pid_t runner = 0;
  for (int i = 0; i < 6000 && below.empty(); ++i) {
    std::this_thread::sleep_for(2ms);
    auto children = descendants(session.pid());
    runner = children.empty() ? 0 : children.front().pid;
    if (children.size() > 1) below = children;
  }
  ASSERT_FALSE(below.empty());
  ASSERT_EQ(kill(-runner, SIGINT), 0);
  CommandEnd end = session.wait();
  EXPECT_EQ(end.exit_status, 130) << end.signal << end.output;
  EXPECT_THAT(end.output, HasSubstr("gyges experiment resume " + out().string()));
  EXPECT_TRUE(survivors(below, 5s).empty());
}

TEST_F(ExperimentCommand, KilledWorkerCostsOneAttempt) {
  write_file(4);
  StartedCommand runner(run_command(), log());
  wait_for_finished(1);
  std::vector<ProcessId> workers;
  for (const ProcessId& process : descendants(runner.pid())) {
    const std::string text =
        gyges::read_file("/proc/" + std::to_string(process.pid) + "/cmdline").value_or("");
    if (text.find("worker") != std::string::npos) workers.push_back(process);
  }
  ASSERT_FALSE(workers.empty());
  kill(workers.front().pid, SIGKILL);
  CommandEnd end = runner.wait();
  ASSERT_EQ(end.exit_status, 0) << end.output;
  EXPECT_EQ(finished(), 16U);
  expect_whole_bundles();
  auto attempts = failed_attempts(out());
  ASSERT_TRUE(attempts) << attempts.error().line();
  // None, if the kill met the worker between two runs.
  EXPECT_LE(attempts->size(), 1U);
}

TEST_F(ExperimentCommand, SecondRunnerIsRefused) {
  write_file(40);
  StartedCommand runner(run_command(), log());
  wait_for_finished(1);
  CommandEnd second = gyges({"experiment", "resume", out().string()});
  EXPECT_EQ(second.exit_status, 125) << second.output;
  EXPECT_THAT(second.output, HasSubstr("another runner"));
  runner.signal(SIGTERM);
  EXPECT_EQ(runner.wait().exit_status, 130);
}

TEST_F(ExperimentCommand, EditedExperimentIsRefused) {
  write_file(1);
  ASSERT_EQ(StartedCommand(run_command(), log()).wait().exit_status, 0);
  write_file(2);
  CommandEnd end = StartedCommand(run_command(), log()).wait();
  EXPECT_EQ(end.exit_status, 125);
  EXPECT_THAT(end.output, HasSubstr("/repeats: 1 -> 2"));
  EXPECT_EQ(finished(), 4U);
}

TEST_F(ExperimentCommand, SlurmThatDoesNotAnswerIsAnErrorAndNothingIsMade) {
  auto command = run_command();
  command.insert(command.end(), {"--executor", "slurm"});
  // Installed or not, its commands are not found.
  const char* path = std::getenv("PATH");
  const std::string before = path != nullptr ? path : "";
  setenv("PATH", "/nowhere", 1);
  CommandEnd end = StartedCommand(command, log()).wait();
  setenv("PATH", before.c_str(), 1);
  EXPECT_EQ(end.exit_status, 125);
  EXPECT_THAT(end.output, HasSubstr("Slurm"));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(ExperimentCommand, BadFilesAreOneLineWithFileAndCure) {
  std::ofstream(file()) << "{\"version\": 1,";
  CommandEnd end = StartedCommand(run_command(), log()).wait();
  EXPECT_EQ(end.exit_status, 125);
  EXPECT_THAT(end.output, testing::AllOf(HasSubstr(file().string()), HasSubstr("Cure: ")));
  EXPECT_EQ(std::count(end.output.begin(), end.output.end(), '\n'), 1);
  EXPECT_FALSE(fs::exists(out()));
  EXPECT_EQ(gyges({"experiment", "resume", path().string()}).exit_status, 125);
  EXPECT_EQ(gyges({"experiment", "status", "/nonexistent"}).exit_status, 125);
  EXPECT_EQ(gyges({"experiment", "run"}).exit_status, 2);
}

TEST_F(ExperimentCommand, WorksAsOrdinaryUser) {
  const char* text = std::getenv("GYGES_TEST_UID");
  if (getuid() != 0) GTEST_SKIP() << "this process is an ordinary user: all other tests show it";
  if (text == nullptr) GTEST_SKIP() << "no GYGES_TEST_UID (scripts/test makes such a user)";
  const auto uid = static_cast<unsigned>(std::atoi(text));
  fs::permissions(path(), fs::perms::owner_all);
  ASSERT_EQ(chown(path().c_str(), uid, uid), 0);
  StartedCommand probe({"/usr/bin/test", "-x", GYGES_BINARY}, log(), uid);
  if (probe.wait().exit_status != 0)
    GTEST_SKIP() << "an ordinary user cannot reach " << GYGES_BINARY;
  fs::remove(log());
  write_file(1);
  CommandEnd end = StartedCommand(run_command(), log(), uid).wait();
  ASSERT_EQ(end.exit_status, 0) << end.output;
  EXPECT_EQ(finished(), 4U);
  expect_whole_bundles();
}

TEST_F(ExperimentCommand, PlanSaysWhatAnEffectNeedsAndRunsNothing) {
  CommandEnd planned = gyges({"experiment", "plan", file().string(), "--json"});
  ASSERT_EQ(planned.exit_status, 0) << planned.output;
  json plan = json::parse(planned.output, nullptr, false);
  ASSERT_TRUE(plan.is_object()) << planned.output;
  EXPECT_EQ(plan["runs"], 8);
  EXPECT_EQ(plan["sha256"].get<std::string>().size(), 64U);
  ASSERT_EQ(plan["contrasts"].size(), 1U);
  const json& contrast = plan["contrasts"][0];
  EXPECT_EQ(contrast["factor"], "oversight");
  EXPECT_EQ(contrast["pairs"], 2);
  EXPECT_EQ(contrast["test"], "mid-p McNemar");
  EXPECT_EQ(contrast["power"], 0.0);  // two pairs cannot reach 0.05
  EXPECT_GT(contrast["pairs_per_task_needed"].get<int>(), 100);
  EXPECT_FALSE(fs::exists(out()));
  CommandEnd text = gyges({"experiment", "plan", file().string()});
  EXPECT_EQ(text.exit_status, 0);
  EXPECT_THAT(text.output, testing::AllOf(HasSubstr("= 8 runs"), HasSubstr("mid-p McNemar"),
                                          HasSubstr("for 0.80"), HasSubstr("--from DIR")));
}

}  // namespace
}  // namespace gyges::experiment
