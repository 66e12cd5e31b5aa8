#include "agent_runtime/experiment/local_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class Local : public testing::Test {
 protected:
  std::unique_ptr<LocalExecutor> executor(unsigned jobs, const std::string& mode = {},
                                          std::chrono::milliseconds limit = 60s) {
    LocalExecutorOptions options;
    options.command = {FAKE_WORKER, mode.empty() ? std::to_string(getpid()) : mode};
    options.jobs = jobs;
    options.episode_limit = limit;
    auto made = LocalExecutor::create(options);
    if (!made) throw std::runtime_error(made.error().line());
    return std::move(*made);
  }
  Assignment assignment(const std::string& behaviour, const std::string& slot = "slot") {
    Assignment made;
    made.slot = slot;
    made.request.agent = "/nowhere/" + behaviour;
    made.request.out = directory_.path() / "partial" / (slot + ".a1");
    return made;
  }
  static Completion next(LocalExecutor& executor) {
    auto completion = executor.wait(20s);
    if (!completion) throw std::runtime_error(completion.error().line());
    if (!*completion) throw std::runtime_error("no completion");
    return **completion;
  }
  TemporaryDirectory directory_ = temporary_directory();
};

TEST_F(Local, RunsOneAfterAnotherInOneWorker) {
  auto local = executor(1);
  ASSERT_TRUE(local->submit(assignment("plain", "one")));
  EXPECT_EQ(next(*local).kind, Completion::Kind::done);
  auto pids = local->worker_pids();
  ASSERT_TRUE(local->submit(assignment("plain", "two")));
  EXPECT_EQ(next(*local).slot, "two");
  EXPECT_EQ(local->worker_pids(), pids);
}

TEST_F(Local, WorkerThatIsKilledCostsItsRunOnly) {
  auto local = executor(2);
  ASSERT_TRUE(local->submit(assignment("crash_always", "dies")));
  ASSERT_TRUE(local->submit(assignment("slow", "lives")));
  std::map<std::string, Completion> completions;
  for (int i = 0; i < 2; ++i) {
    Completion completion = next(*local);
    completions[completion.slot] = completion;
  }
  EXPECT_EQ(completions["lives"].kind, Completion::Kind::done);
  EXPECT_EQ(completions["dies"].kind, Completion::Kind::lost);
  EXPECT_THAT(completions["dies"].detail, HasSubstr("signal 9"));
  ASSERT_TRUE(local->submit(assignment("plain", "after")));
  EXPECT_EQ(next(*local).kind, Completion::Kind::done);
}

TEST_F(Local, ErrorOfARunIsItsCompletion) {
  auto local = executor(1);
  ASSERT_TRUE(local->submit(assignment("fail")));
  Completion completion = next(*local);
  EXPECT_EQ(completion.kind, Completion::Kind::failed);
  EXPECT_THAT(completion.detail, HasSubstr("no such thing"));
}

TEST_F(Local, HangingRunIsEndedAtItsLimit) {
  auto local = executor(1, {}, 300ms);
  ASSERT_TRUE(local->submit(assignment("hang")));
  auto pids = local->worker_pids();
  EXPECT_EQ(next(*local).kind, Completion::Kind::overtime);
  EXPECT_EQ(kill(pids.front(), 0), -1);
}

TEST_F(Local, OutputWithoutEndDoesNoHarm) {
  auto local = executor(1);
  ASSERT_TRUE(local->submit(assignment("noisy")));
  EXPECT_EQ(next(*local).kind, Completion::Kind::done);
}

TEST_F(Local, RefusalOfAWorkerIsTheReason) {
  auto local = executor(1, "refuse");
  ASSERT_TRUE(local->submit(assignment("plain")));
  auto refused = local->wait(20s);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("no privilege"));
}

TEST_F(Local, WorkersThatNeverStartAreGivenUp) {
  auto local = executor(1, "silent");
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(local->submit(assignment("plain")));
    auto completion = local->wait(20s);
    if (!completion) {
      EXPECT_THAT(completion.error().line(), HasSubstr("status 7"));
      return;
    }
  }
  FAIL() << "never given up";
}

// In flight at once: the run that is being finished and the one its worker prepares meanwhile.
class Ahead : public Local {
 protected:
  // Submits `behaviour` and, once it is finishing, "plain" as the next of the same worker.
  void two_in_flight(LocalExecutor& local, const std::string& behaviour) {
    ASSERT_EQ(local.capacity(), 1U);
    ASSERT_TRUE(local.submit(assignment(behaviour, "first")));
    auto none = local.wait(20s);
    ASSERT_TRUE(none) << none.error().line();
    ASSERT_FALSE(*none) << "it waits to be let go";
    ASSERT_EQ(local.capacity(), 2U);
    ASSERT_TRUE(local.submit(assignment("plain", "second")));
    ASSERT_EQ(local.capacity(), 2U) << "of which none is left";
    ASSERT_EQ(local.worker_pids().size(), 1U);
    for (int i = 0; i < 10000 && read("prepared") != "first\nsecond\n"; ++i) usleep(1000);
    EXPECT_EQ(read("prepared"), "first\nsecond\n");
    EXPECT_EQ(read("runs_made"), "");
  }
  void let_go() { ASSERT_TRUE(write_file_atomically(directory_.path() / "go", "x")); }
  std::string read(const std::string& name) {
    return read_file(directory_.path() / name).value_or("");
  }
};

TEST_F(Ahead, TheNextRunIsPreparedWhileOneIsFinished) {
  auto local = executor(1);
  two_in_flight(*local, "finishing");
  let_go();
  EXPECT_EQ(next(*local).slot, "first");
  EXPECT_EQ(next(*local).slot, "second");
  EXPECT_EQ(local->capacity(), 1U);
  EXPECT_EQ(read("runs_made"), "first\nsecond\n");
}

TEST_F(Ahead, APreparedRunIsNotLostWithItsWorker) {
  auto local = executor(1);
  two_in_flight(*local, "finishing_crash");
  auto pids = local->worker_pids();
  let_go();
  Completion first = next(*local);
  EXPECT_EQ(first.slot, "first");
  EXPECT_EQ(first.kind, Completion::Kind::lost);
  Completion second = next(*local);
  EXPECT_EQ(second.slot, "second");
  EXPECT_EQ(second.kind, Completion::Kind::done);
  EXPECT_NE(local->worker_pids(), pids);
}

TEST_F(Ahead, WhatHasNotBegunCanBeTakenBack) {
  auto local = executor(1);
  two_in_flight(*local, "finishing");
  EXPECT_THAT(local->withdraw(), testing::ElementsAre("second"));
  let_go();
  EXPECT_EQ(next(*local).slot, "first");
  ASSERT_TRUE(local->submit(assignment("plain", "third")));
  EXPECT_EQ(next(*local).slot, "third");
  EXPECT_THAT(local->withdraw(), testing::IsEmpty());
}

TEST_F(Ahead, WhatCannotBePreparedFailsWhenItsTurnComes) {
  auto local = executor(1);
  ASSERT_TRUE(local->submit(assignment("unpreparable")));
  Completion completion = next(*local);
  EXPECT_EQ(completion.kind, Completion::Kind::failed);
  EXPECT_THAT(completion.detail, HasSubstr("no world"));
}

TEST_F(Local, WorkerThatIsNotThereIsAnError) {
  LocalExecutorOptions options;
  options.command = {"/nowhere/gyges"};
  auto local = LocalExecutor::create(options);
  ASSERT_TRUE(local);
  EXPECT_FALSE((*local)->submit(assignment("plain")));
}

TEST_F(Local, StopEndsWhatRuns) {
  auto local = executor(2);
  ASSERT_TRUE(local->submit(assignment("hang", "one")));
  ASSERT_TRUE(local->submit(assignment("hang", "two")));
  auto pids = local->worker_pids();
  ASSERT_EQ(pids.size(), 2U);
  local->stop();
  for (int pid : pids) EXPECT_EQ(kill(pid, 0), -1) << pid;
}

}  // namespace
}  // namespace gyges::experiment
