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
