#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "agent_runtime/experiment/command_output.h"
#include "agent_runtime/experiment/open_experiment.h"
#include "agent_runtime/experiment/slurm_batch.h"
#include "agent_runtime/experiment/slurm_commands.h"
#include "agent_runtime/experiment/slurm_executor.h"
#include "base/sqlite.h"
#include "tests/agent_runtime/experiment/fixture.h"
#include "tests/agent_runtime/experiment/slurm_cluster.h"
#include "tests/agent_runtime/experiment/slurm_disturbance.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;

SlurmExecutorOptions quick_options(const fs::path& directory, std::size_t runs_of_a_task) {
  SlurmExecutorOptions options;
  options.directory = directory;
  options.command = {FAKE_WORKER};
  options.jobs = 8;  // processors of the cluster
  options.runs_of_a_task = runs_of_a_task;
  options.look_at_answers = 50ms;
  options.ask_slurm = 300ms;
  options.late_answers = 600ms;
  return options;
}

class OnSlurm : public testing::Test {
 protected:
  // One cluster for all: it takes seconds to start.
  static void SetUpTestSuite() { cluster_ = SlurmCluster::start(101, reason_); }
  static void TearDownTestSuite() { cluster_.reset(); }
  void SetUp() override {
    if (cluster_ == nullptr) GTEST_SKIP() << reason_;
    fs::create_directories(root() / "partial");
  }

  [[nodiscard]] fs::path root() const { return fs::canonical(directory_.path()); }

  std::unique_ptr<SlurmExecutor> executor(std::size_t runs_of_a_task = 1) {
    auto made = SlurmExecutor::create(quick_options(root(), runs_of_a_task));
    if (!made) throw std::runtime_error(made.error().line());
    return std::move(*made);
  }

  Assignment assignment(const std::string& behaviour, const std::string& slot) {
    Assignment made;
    made.slot = slot;
    made.request.agent = "/nowhere/" + behaviour;
    made.request.out = root() / "partial" / (slot + ".a1");
    return made;
  }

  static Completion next(SlurmExecutor& executor) {
    auto completion = executor.wait(60s);
    if (!completion) throw std::runtime_error(completion.error().line());
    if (!*completion) throw std::runtime_error("no completion in a minute");
    return **completion;
  }

  // Waits until a fake worker hangs. What it waits for is a file that the worker makes.
  void wait_for_hanging(SlurmExecutor& executor) {
    const auto give_up = std::chrono::steady_clock::now() + 60s;
    while (!fs::exists(root() / "crashed") && std::chrono::steady_clock::now() < give_up) {
      auto completion = executor.wait(50ms);
      ASSERT_TRUE(completion) << completion.error().line();
      ASSERT_FALSE(*completion);
    }
    ASSERT_TRUE(fs::exists(root() / "crashed"));
  }

  static std::unique_ptr<SlurmCluster> cluster_;
  static std::string reason_;
  TemporaryDirectory directory_ = temporary_directory();
};

std::unique_ptr<SlurmCluster> OnSlurm::cluster_;
std::string OnSlurm::reason_;

struct IndexRow {
  std::string slot, run_id, exit_kind, lost, fault, condition;
  auto operator<=>(const IndexRow&) const = default;
};

std::set<IndexRow> rows_of(const fs::path& directory) {
  auto database = Database::open_read_only(index_file(directory));
  auto rows = database->prepare(
      "SELECT slot, run_id, exit_kind, lost, fault, condition FROM slots JOIN runs USING (slot)");
  std::set<IndexRow> set;
  while (*rows->step())
    set.insert(
        {rows->text(0), rows->text(1), rows->text(2), rows->text(3), rows->text(4), rows->text(5)});
  return set;
}

// Of a directory with a record, or a new one; goes on where a killed runner ended.
Result<RunnerSummary> carry_out_on_slurm(const Experiment& experiment, const fs::path& path,
                                         std::size_t runs_of_a_task) {
  GYGES_CHECK(end_left_slurm_jobs(path));
  GYGES_TRY(ExperimentDirectory directory, ExperimentDirectory::open(path));
  GYGES_TRY(Record record, register_experiment(path, experiment));
  std::vector<Slot> plan = make_plan(experiment);
  std::set<std::string> wanted;
  for (const Slot& slot : plan) wanted.insert(slot.name);
  GYGES_CHECK(directory.recover(wanted, fake_bundle_is_whole));
  GYGES_TRY(Index index, Index::open(directory.path(), record, experiment, plan));
  GYGES_TRY(auto executor, SlurmExecutor::create(quick_options(directory.path(), runs_of_a_task)));
  return carry_out(experiment, plan, directory, index, *executor, {});
}

// Another one for a file that was written again.
std::string file_identity(const fs::path& file) {
  struct stat facts {};
  if (stat(file.c_str(), &facts) != 0) return "none";
  return std::to_string(facts.st_ino) + " " + std::to_string(facts.st_mtim.tv_sec) + "." +
         std::to_string(facts.st_mtim.tv_nsec);
}

bool in_full() {
  const char* load = std::getenv("GYGES_LOAD");
  return load != nullptr && std::string(load) == "full";
}

TEST_F(OnSlurm, RecordsAreThoseOfLocalRuns) {
  Experiment experiment = make_experiment({"plain", "fail", "crash_once"}, 5);
  const fs::path local = root() / "local";
  const fs::path remote = root() / "remote";
  Carried here = carry_out_with_fake_workers(experiment, local);
  ASSERT_TRUE(here.summary) << here.summary.error().line();
  {
    auto directory = ExperimentDirectory::open(remote);
    ASSERT_TRUE(directory) << directory.error().line();
    fs::copy_file(record_file(local), record_file(remote));
  }
  auto there = carry_out_on_slurm(experiment, remote, 1);
  ASSERT_TRUE(there) << there.error().line();
  EXPECT_EQ(there->progress.finished, here.summary->progress.finished);
  EXPECT_EQ(there->progress.failed, here.summary->progress.failed);
  EXPECT_EQ(there->progress.retried, here.summary->progress.retried);
  EXPECT_EQ(rows_of(remote), rows_of(local));
  const std::set<std::string> finished = *finished_slots(local);
  EXPECT_EQ(*finished_slots(remote), finished);
  for (const std::string& slot : finished)
    EXPECT_EQ(*read_file(remote / "runs" / slot / "run.json"),
              *read_file(local / "runs" / slot / "run.json"));
  EXPECT_FALSE(fs::exists(remote / "slurm" / "jobs"));
}

// 10,000 in full, which takes minutes: GYGES_LOAD=full.
TEST_F(OnSlurm, AnExperimentOfManyRunsIsMadeWholeAndEachOnce) {
  const std::uint32_t repeats = in_full() ? 5000 : 60;
  const Experiment experiment = make_experiment({"plain"}, repeats);
  const auto start = std::chrono::steady_clock::now();
  auto done = carry_out_on_slurm(experiment, root() / "many", in_full() ? 50 : 8);
  ASSERT_TRUE(done) << done.error().line();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%u runs in %.1f s\n", 2 * repeats, took.count());
  EXPECT_EQ(done->progress.finished, std::size_t{2} * repeats);
  EXPECT_EQ(done->progress.failed + done->progress.retried, 0U);
  EXPECT_FALSE(done->stopped);
  EXPECT_EQ(rows_of(root() / "many").size(), std::size_t{2} * repeats);
  std::vector<std::string> made = lines_of(root() / "many" / "runs_made");
  EXPECT_EQ(made.size(), std::size_t{2} * repeats);
  EXPECT_EQ(std::set<std::string>(made.begin(), made.end()).size(), made.size());
}

// A runner in a process of its own, which can be killed.
pid_t start_runner(const Experiment& experiment, const fs::path& path, std::size_t runs_of_a_task) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  auto done = carry_out_on_slurm(experiment, path, runs_of_a_task);
  if (!done) std::printf("%s\n", done.error().line().c_str());
  std::fflush(stdout);
  _exit(done && !done->stopped && done->progress.failed == 0 ? 0 : 1);
}

std::size_t runs_in(const fs::path& directory) {
  auto finished = finished_slots(directory);
  return finished ? finished->size() : 0;
}

// 10,000 with GYGES_LOAD=full. Tasks are cancelled and requeued, workers killed, and in the middle
// the runner is.
TEST_F(OnSlurm, ADisturbedExperimentIsMadeWholeAndKeepsEachRunOnce) {
  const std::uint32_t repeats = in_full() ? 5000 : 150;
  const std::size_t runs = std::size_t{2} * repeats;
  const std::size_t runs_of_a_task = in_full() ? 20 : 6;
  const Experiment experiment = make_experiment({"slow"}, repeats);
  const fs::path path = root() / "disturbed";
  SlurmDisturbance disturbance(path, 1);
  const auto start = std::chrono::steady_clock::now();
  const auto give_up = start + (in_full() ? 1200s : 180s);
  pid_t runner = start_runner(experiment, path, runs_of_a_task);
  std::map<std::string, std::string> kept;  // of the killed runner: slot and when it was written
  bool was_killed = false;
  int status = -1;
  while (waitpid(runner, &status, WNOHANG) == 0 && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(in_full() ? 500ms : 200ms);
    if (runs_in(path) == 0) continue;
    if (!was_killed && runs_in(path) >= runs / 2) {
      was_killed = true;
      ASSERT_EQ(kill(runner, SIGKILL), 0);
      ASSERT_EQ(waitpid(runner, &status, 0), runner);
      const std::set<std::string> finished = *finished_slots(path);
      for (const std::string& slot : finished)
        kept[slot] = file_identity(path / "runs" / slot / "run.json");
      runner = start_runner(experiment, path, runs_of_a_task);
      continue;
    }
    disturbance.strike();
  }
  ASSERT_TRUE(WIFEXITED(status)) << "it did not end";
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%zu runs in %.1f s; %zu tasks cancelled, %zu requeued, %zu workers killed\n", runs,
              took.count(), disturbance.cancelled, disturbance.requeued, disturbance.killed);
  EXPECT_TRUE(was_killed);
  EXPECT_GT(disturbance.cancelled, 0U);
  EXPECT_GT(disturbance.requeued, 0U);
  EXPECT_GT(disturbance.killed, 0U);

  std::set<std::string> planned;
  for (const Slot& slot : make_plan(experiment)) planned.insert(slot.name);
  EXPECT_EQ(*finished_slots(path), planned);
  EXPECT_EQ(rows_of(path).size(), runs);
  for (const std::string& slot : planned)
    ASSERT_TRUE(fake_bundle_is_whole(path / "runs" / slot)) << slot;
  for (const auto& [slot, identity] : kept)
    ASSERT_EQ(file_identity(path / "runs" / slot / "run.json"), identity)
        << slot << " was repeated";
  EXPECT_TRUE(fs::is_empty(path / "partial"));
  EXPECT_FALSE(fs::exists(path / "slurm" / "jobs"));
  // What was lost is on record.
  auto attempts = failed_attempts(path);
  ASSERT_TRUE(attempts) << attempts.error().line();
  EXPECT_FALSE(attempts->empty());
  for (const FailedAttempt& attempt : *attempts) EXPECT_EQ(attempt.kind, "lost") << attempt.detail;
}

TEST_F(OnSlurm, ManyRunsGoIntoFewArraysAndEachIsRunOnce) {
  // 101 is the largest array of this cluster.
  const std::size_t runs = 240;
  auto slurm = executor(4);
  for (std::size_t i = 0; i < runs; ++i)
    ASSERT_TRUE(slurm->submit(assignment("plain", "run" + std::to_string(i))));
  std::set<std::string> done;
  while (done.size() < runs) {
    Completion completion = next(*slurm);
    ASSERT_EQ(completion.kind, Completion::Kind::done) << completion.detail;
    ASSERT_TRUE(done.insert(completion.slot).second) << completion.slot;
    ASSERT_LE(slurm->jobs().size(), 1U);
  }
  EXPECT_EQ(lines_of(root() / "runs_made").size(), runs);
  slurm->stop();
  EXPECT_FALSE(fs::exists(root() / "slurm"));
}

// More tasks than the site allows in one array.
TEST_F(OnSlurm, WhatIsTooMuchForOneArrayGoesIntoTwo) {
  const std::size_t runs = 103;
  auto slurm = executor(1);
  for (std::size_t i = 0; i < runs; ++i)
    ASSERT_TRUE(slurm->submit(assignment("plain", "run" + std::to_string(i))));
  ASSERT_EQ(next(*slurm).kind, Completion::Kind::done);
  EXPECT_EQ(slurm_jobs_of(root())->size(), 2U);
  slurm->stop();
  EXPECT_FALSE(fs::exists(root() / "slurm"));
}

TEST_F(OnSlurm, CancelledTaskIsLostAndWhatItHadNotBegunIsRun) {
  auto slurm = executor(2);
  ASSERT_TRUE(slurm->submit(assignment("hang_once", "first")));
  ASSERT_TRUE(slurm->submit(assignment("plain", "second")));
  wait_for_hanging(*slurm);
  ASSERT_EQ(slurm->jobs().size(), 1U);
  ASSERT_TRUE(slurm_cancel(slurm->jobs()));
  Completion lost = next(*slurm);
  EXPECT_EQ(lost.slot, "first");
  EXPECT_EQ(lost.kind, Completion::Kind::lost);
  EXPECT_THAT(lost.detail, HasSubstr("CANCELLED"));
  Completion other = next(*slurm);
  EXPECT_EQ(other.slot, "second");
  EXPECT_EQ(other.kind, Completion::Kind::done);
}

TEST_F(OnSlurm, RequeuedTaskGoesOnWhereItWas) {
  auto slurm = executor(3);
  ASSERT_TRUE(slurm->submit(assignment("plain", "before")));
  ASSERT_TRUE(slurm->submit(assignment("hang_once", "stuck")));
  ASSERT_TRUE(slurm->submit(assignment("plain", "after")));
  EXPECT_EQ(next(*slurm).slot, "before");
  wait_for_hanging(*slurm);
  auto requeued = run_command({"scontrol", "requeue", slurm->jobs().at(0) + "_0"});
  ASSERT_TRUE(requeued && requeued->status == 0) << requeued->errors;
  // Slurm holds a requeued task back for two minutes, lest its node was at fault. Four seconds do:
  // a node refuses what was granted in the second in which it ended the task before.
  const auto give_up = std::chrono::steady_clock::now() + 60s;
  while (std::chrono::steady_clock::now() < give_up) {
    auto tasks = slurm_tasks(slurm->jobs());
    if (tasks && tasks->size() == 1 && tasks->begin()->second == "PENDING") break;
    std::this_thread::sleep_for(50ms);
  }
  auto now =
      run_command({"scontrol", "update", "JobId=" + slurm->jobs().at(0) + "_0", "StartTime=now+4"});
  ASSERT_TRUE(now && now->status == 0) << now->errors;
  for (const char* slot : {"stuck", "after"}) {
    Completion completion = next(*slurm);
    EXPECT_EQ(completion.slot, slot);
    EXPECT_EQ(completion.kind, Completion::Kind::done) << completion.detail;
  }
  // "before" was not run again.
  EXPECT_EQ(lines_of(root() / "runs_made"), (std::vector<std::string>{"before", "stuck", "after"}));
}

TEST_F(OnSlurm, JobsOfAKilledRunnerAreEndedByTheNext) {
  std::string job;
  {
    auto slurm = executor();
    ASSERT_TRUE(slurm->submit(assignment("hang_once", "left")));
    wait_for_hanging(*slurm);
    job = slurm->jobs().at(0);
    // What a runner leaves that had no time to stop.
    ASSERT_EQ(*slurm_jobs_of(root()), std::vector<std::string>{job});
    auto ended = end_left_slurm_jobs(root());
    ASSERT_TRUE(ended) << ended.error().line();
    EXPECT_EQ(*ended, 1U);
  }
  EXPECT_TRUE(slurm_tasks({job})->empty());
  EXPECT_EQ(*end_left_slurm_jobs(root()), 0U);
}

TEST_F(OnSlurm, OnlyTasksThatHaveBegunCountAsRunning) {
  SlurmExecutorOptions options = quick_options(root(), 2);
  options.jobs = 1;
  auto made = SlurmExecutor::create(options);
  ASSERT_TRUE(made) << made.error().line();
  SlurmExecutor& slurm = **made;
  for (const char* slot : {"one", "two", "three", "four"})
    ASSERT_TRUE(slurm.submit(assignment("hang", slot)));
  EXPECT_EQ(slurm.queued(), 4U);
  const auto give_up = std::chrono::steady_clock::now() + 60s;
  while (slurm.queued() != 3 && std::chrono::steady_clock::now() < give_up)
    ASSERT_TRUE(slurm.wait(50ms));
  // The first run of the first task; the second task waits for its turn.
  EXPECT_EQ(slurm.queued(), 3U);
  slurm.stop();
  EXPECT_EQ(slurm.queued(), 0U);
}

TEST_F(OnSlurm, WithdrawsWhatHasNotBegun) {
  auto slurm = executor();
  ASSERT_TRUE(slurm->submit(assignment("hang_once", "begun")));
  wait_for_hanging(*slurm);
  ASSERT_TRUE(slurm->submit(assignment("plain", "unsent")));
  EXPECT_EQ(slurm->withdraw(), std::vector<std::string>{"unsent"});
  slurm->stop();
  EXPECT_FALSE(fs::exists(root() / "slurm" / "jobs"));
}

TEST(SlurmThatIsNotThere, IsAnErrorWithItsCure) {
  const char* path = std::getenv("PATH");
  const std::string before = path != nullptr ? path : "";
  setenv("PATH", "/nowhere", 1);
  auto made = SlurmExecutor::create({"/tmp", {"worker"}});
  setenv("PATH", before.c_str(), 1);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().line(), HasSubstr("is Slurm installed"));
}

}  // namespace
}  // namespace gyges::experiment
