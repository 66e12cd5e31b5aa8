#include "agent_runtime/experiment/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "agent_runtime/experiment/record.h"
#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using namespace std::chrono_literals;

class Runner : public testing::Test {
 protected:
  TemporaryDirectory temporary_ = temporary_directory();
  fs::path path_ = temporary_.path() / "e";
};

TEST_F(Runner, RunsEverythingOnce) {
  Experiment experiment = make_experiment({"a", "b"}, 5);
  Progress last;
  RunnerOptions options;
  options.report = [&](const Progress& progress) { last = progress; };
  auto carried = carry_out_with_fake_workers(experiment, path_, options);
  ASSERT_TRUE(carried.summary) << carried.summary.error().line();
  EXPECT_FALSE(carried.summary->stopped);
  EXPECT_EQ(last.finished, 20U);
  EXPECT_EQ(last.conditions[0].finished, 10U);
  EXPECT_EQ(lines_of(path_ / "runs_made").size(), 20U);
  EXPECT_EQ(finished_slots(path_)->size(), 20U);
  EXPECT_TRUE(fs::is_empty(path_ / "partial"));
}

TEST_F(Runner, SecondTimeDoesNothing) {
  Experiment experiment = make_experiment({"a"}, 3);
  ASSERT_TRUE(carry_out_with_fake_workers(experiment, path_).summary);
  auto again = carry_out_with_fake_workers(experiment, path_);
  ASSERT_TRUE(again.summary) << again.summary.error().line();
  EXPECT_EQ(again.summary->progress.finished_before, 6U);
  EXPECT_EQ(lines_of(path_ / "runs_made").size(), 6U);
}

TEST_F(Runner, RetriesALostRunAndRecordsTheAttempt) {
  Experiment experiment = make_experiment({"crash_once"}, 2);
  auto carried = carry_out_with_fake_workers(experiment, path_, {}, 1);
  ASSERT_TRUE(carried.summary) << carried.summary.error().line();
  EXPECT_EQ(carried.summary->progress.finished, 4U);
  EXPECT_EQ(carried.summary->progress.retried, 1U);
  auto attempts = failed_attempts(path_);
  ASSERT_EQ(attempts->size(), 1U);
  EXPECT_EQ(attempts->front().kind, "lost");
  EXPECT_EQ(attempts->front().attempt, 1U);
}

TEST_F(Runner, GivesUpARunAfterItsAttemptsAndGoesOn) {
  Experiment experiment = make_experiment({"crash_always", "a"}, 2);
  auto carried = carry_out_with_fake_workers(experiment, path_);
  ASSERT_TRUE(carried.summary) << carried.summary.error().line();
  EXPECT_EQ(carried.summary->progress.finished, 4U);
  EXPECT_EQ(carried.summary->progress.failed, 4U);
  EXPECT_EQ(failed_attempts(path_)->size(), 12U);
  EXPECT_TRUE(fs::is_empty(path_ / "partial"));
}

TEST_F(Runner, StopsWhenEverythingFails) {
  Experiment experiment = make_experiment({"fail"}, 50);
  auto carried = carry_out_with_fake_workers(experiment, path_);
  ASSERT_FALSE(carried.summary);
  EXPECT_THAT(carried.summary.error().line(), HasSubstr("no such thing"));
  EXPECT_LT(failed_attempts(path_)->size(), 15U);
}

TEST_F(Runner, StopLetsRunsFinishAndKeepsTheRestForLater) {
  Experiment experiment = make_experiment({"slow"}, 20);
  std::size_t finished = 0;
  RunnerOptions options;
  options.report = [&](const Progress& progress) { finished = progress.finished; };
  options.stop = [&] { return finished >= 4 ? StopRequest::finish_running : StopRequest::none; };
  auto carried = carry_out_with_fake_workers(experiment, path_, options);
  ASSERT_TRUE(carried.summary) << carried.summary.error().line();
  EXPECT_TRUE(carried.summary->stopped);
  std::size_t kept = finished_slots(path_)->size();
  EXPECT_EQ(lines_of(path_ / "runs_made").size(), kept) << "what ran was kept";
  EXPECT_LE(kept, 6U);
  auto rest = carry_out_with_fake_workers(experiment, path_);
  ASSERT_TRUE(rest.summary);
  EXPECT_EQ(lines_of(path_ / "runs_made").size(), 40U);
}

TEST_F(Runner, StopIsNotHeldUpByAHangingRun) {
  Experiment experiment = make_experiment({"hang"}, 1);
  RunnerOptions options;
  options.stop = [] { return StopRequest::finish_running; };
  options.patience = 300ms;
  std::size_t reports = 0;
  options.stop = [&] { return ++reports > 2 ? StopRequest::finish_running : StopRequest::none; };
  auto carried = carry_out_with_fake_workers(experiment, path_, options);
  ASSERT_TRUE(carried.summary) << carried.summary.error().line();
  EXPECT_TRUE(carried.summary->stopped);
}

// Takes all that it is given at once and begins one after the other.
class OneByOne final : public Executor {
 public:
  [[nodiscard]] std::size_t capacity() const override { return 100; }
  Status submit(const Assignment& assignment) override {
    taken_.push_back(assignment);
    return ok();
  }
  [[nodiscard]] std::size_t queued() const override {
    return taken_.empty() ? 0 : taken_.size() - 1;
  }
  Result<std::optional<Completion>> wait(std::chrono::milliseconds) override {
    Completion failed{taken_.front().slot, Completion::Kind::failed, {}, "no reason"};
    taken_.pop_front();
    return failed;
  }
  void stop() override { taken_.clear(); }

 private:
  std::deque<Assignment> taken_;
};

TEST_F(Runner, WhatAnExecutorHasNotBegunIsQueuedAndNotRunning) {
  Experiment experiment = make_experiment({"a"}, 2);
  experiment.limits.attempts = 1;
  auto directory = ExperimentDirectory::open(path_);
  ASSERT_TRUE(directory) << directory.error().line();
  auto record = register_experiment(path_, experiment);
  ASSERT_TRUE(record) << record.error().line();
  const std::vector<Slot> plan = make_plan(experiment);
  auto index = Index::open(path_, *record, experiment, plan);
  ASSERT_TRUE(index) << index.error().line();
  OneByOne executor;
  RunnerOptions options;
  std::vector<std::pair<std::size_t, std::size_t>> seen;
  options.report = [&](const Progress& now) { seen.emplace_back(now.running, now.queued); };
  ASSERT_TRUE(carry_out(experiment, plan, *directory, *index, executor, options));
  // Before anything was handed over, after each of four completions, at the end.
  const std::vector<std::pair<std::size_t, std::size_t>> expected{{0, 0}, {1, 2}, {1, 1},
                                                                  {1, 0}, {0, 0}, {0, 0}};
  EXPECT_EQ(seen, expected);
}

TEST_F(Runner, EditedExperimentIsRefused) {
  Experiment experiment = make_experiment({"a"}, 2);
  ASSERT_TRUE(carry_out_with_fake_workers(experiment, path_).summary);
  experiment.seed = 9;
  auto refused = carry_out_with_fake_workers(experiment, path_);
  ASSERT_FALSE(refused.summary);
  EXPECT_THAT(refused.summary.error().line(), HasSubstr("/seed: 7 -> 9"));
}

// An executor that has no processes: the order in which runs are handed out is the plan's.
class InOrder final : public Executor {
 public:
  explicit InOrder(std::vector<std::string>& slots) : slots_(slots) {}
  [[nodiscard]] std::size_t capacity() const override { return 3; }
  Status submit(const Assignment& assignment) override {
    slots_.push_back(assignment.slot);
    fs::create_directories(assignment.request.out);
    GYGES_CHECK(write_file_atomically(assignment.request.out / "run.json", "{}"));
    GYGES_CHECK(write_file_atomically(assignment.request.out / "seal.json", ""));
    waiting_.push_back(assignment.slot);
    return ok();
  }
  Result<std::optional<Completion>> wait(std::chrono::milliseconds) override {
    Completion completion{waiting_.front(), Completion::Kind::done, {}, {}};
    waiting_.erase(waiting_.begin());
    return completion;
  }
  void stop() override {}

 private:
  std::vector<std::string>& slots_;
  std::vector<std::string> waiting_;
};

TEST_F(Runner, HandsRunsOutInTheOrderOfThePlan) {
  Experiment experiment = make_experiment({"a", "b", "c"}, 4);
  auto plan = make_plan(experiment);
  auto directory = ExperimentDirectory::open(path_);
  ASSERT_TRUE(directory);
  auto record = register_experiment(path_, experiment);
  ASSERT_TRUE(record);
  auto index = Index::open(path_, *record, experiment, plan);
  ASSERT_TRUE(index) << index.error().line();
  std::vector<std::string> slots;
  InOrder executor(slots);
  auto summary = carry_out(experiment, plan, *directory, *index, executor, {});
  ASSERT_TRUE(summary) << summary.error().line();
  std::vector<std::string> planned;
  for (const Slot& slot : plan) planned.push_back(slot.name);
  EXPECT_EQ(slots, planned);
}

}  // namespace
}  // namespace gyges::experiment
