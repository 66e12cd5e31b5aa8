// What is done before a sandbox is asked for, and what is left to be done when its process ends.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "sandbox_fixture.h"
#include "tests/own_groups.h"

namespace gyges::isolation {
namespace {

using Clock = std::chrono::steady_clock;

class SandboxAhead : public SandboxTest {
 protected:
  CommandId spawn_last(const std::string& shell_command) {
    Command command;
    command.argv = {"/bin/sh", "-c", shell_command};
    command.environment = command_environment(policy_);
    command.directory = "/";
    command.last = true;
    auto id = sandbox_->spawn(command);
    EXPECT_TRUE(id) << id.error().line();
    return id.value_or(0);
  }

  void wait_for(CommandId id) {
    auto end = sandbox_->wait(id, Clock::now() + std::chrono::seconds(15));
    ASSERT_TRUE(end && *end);
    EXPECT_EQ((*end)->exit_code, 0);
  }

  bool alive_after(std::chrono::milliseconds time) {
    const auto deadline = Clock::now() + time;
    while (sandbox_->alive() && Clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return sandbox_->alive();
  }
};

// The pid 1 that was begun, once it is being executed.
std::vector<pid_t> begin_one() {
  Sandbox::start_ahead();
  std::vector<pid_t> begun;
  for (int attempt = 0; attempt < 1000 && begun.empty(); ++attempt) {
    ::usleep(5000);
    begun = children_named("init", ::getpid());
  }
  return begun;
}

// Unless it is in a cgroup, which it leaves when it is told to stop.
TEST_F(SandboxAhead, EndsByItselfAfterItsLastCommand) {
  start();
  wait_for(spawn_last("echo changed > /tmp/file"));
  if (groups_of(::getpid()).empty())
    EXPECT_FALSE(alive_after(std::chrono::seconds(15)));
  else
    EXPECT_TRUE(alive_after(std::chrono::milliseconds(200)));
  SandboxEnd end = stop();
  EXPECT_EQ(end.processes_left, 0U);
  EXPECT_TRUE(end.limits_hit.empty());
  ASSERT_EQ(end.changes.size(), 1U);
  EXPECT_EQ(end.changes[0].path, "/tmp/file");
}

// The one that is waited for is not all that runs: it goes on until it is told to stop.
TEST_F(SandboxAhead, StaysForWhatItsLastCommandLeft) {
  start();
  wait_for(spawn_last("setsid sleep 60 > /dev/null 2>&1 &"));
  EXPECT_TRUE(alive_after(std::chrono::milliseconds(200)));
  EXPECT_EQ(stop().processes_left, 1U);
}

TEST_F(SandboxAhead, StaysForMoreCommandsWithoutALastOne) {
  start();
  EXPECT_EQ(run("true").end.exit_code, 0);
  EXPECT_TRUE(alive_after(std::chrono::milliseconds(200)));
  EXPECT_EQ(run("echo more").output, "more\n");
}

TEST_F(SandboxAhead, APid1BegunAheadIsTheSandboxs) {
  const std::vector<pid_t> begun = begin_one();
  ASSERT_EQ(begun.size(), 1U);
  start();
  EXPECT_EQ(children_named("init", ::getpid()), begun);
  EXPECT_EQ(run("echo $PPID").output, "1\n");
}

TEST_F(SandboxAhead, APid1BegunAheadIsDropped) {
  ASSERT_EQ(begin_one().size(), 1U);
  Sandbox::drop_ahead();
  EXPECT_TRUE(children_named("init", ::getpid()).empty());
}

TEST_F(SandboxAhead, APid1BegunAheadEndsWithItsThread) {
  std::vector<pid_t> begun;
  std::thread thread([&] { begun = begin_one(); });
  thread.join();
  EXPECT_EQ(begun.size(), 1U);
  EXPECT_TRUE(children_named("init", ::getpid()).empty());
}

// Groups and processes that are left of a child of this process's `patience` after its end, whose
// status has to be 0. Its children are this process's then, which had those of `before`.
std::vector<std::string> left_by(pid_t supervisor, const std::vector<pid_t>& before,
                                 std::chrono::milliseconds patience) {
  int status = 0;
  EXPECT_EQ(::waitpid(supervisor, &status, 0), supervisor);
  EXPECT_EQ(status, 0);
  std::vector<std::string> left;
  const auto deadline = Clock::now() + patience;
  for (;;) {
    left = groups_of(supervisor);
    for (pid_t child : children_of(::getpid()))
      if (std::find(before.begin(), before.end(), child) == before.end() &&
          ::waitpid(child, nullptr, WNOHANG | __WALL) == 0)
        left.push_back(std::to_string(child));
    if (left.empty() || Clock::now() > deadline) return left;
    ::usleep(5000);
  }
}

// In a process that ends at once, as `gyges run` does. What of it is there a moment later.
std::vector<std::string> left_by_a_process_that_ends(const std::string& shell_command,
                                                     bool keeper_killed) {
  EXPECT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const std::vector<pid_t> before = children_of(::getpid());
  const pid_t supervisor = ::fork();
  if (supervisor == 0) {
    SandboxSpec spec{test_policy(), {}, nullptr};
    auto sandbox = Sandbox::start(spec);
    if (!sandbox) ::_exit(2);
    Command command;
    command.argv = {"/bin/sh", "-c", shell_command};
    command.environment = command_environment(spec.policy);
    command.directory = "/";
    command.last = true;
    auto id = (*sandbox)->spawn(command);
    if (!id || !(*sandbox)->wait(*id, Clock::now() + std::chrono::seconds(15))) ::_exit(3);
    if (keeper_killed)
      for (pid_t keeper : children_named("gyges-keeper", ::getpid())) {
        ::kill(keeper, SIGKILL);
        ::waitpid(keeper, nullptr, __WALL);
      }
    SandboxStop how;
    how.collect = false;
    how.process_ends = true;
    ::_exit((*sandbox)->stop("", how) ? 0 : 4);
  }
  return left_by(supervisor, before, std::chrono::seconds(10));
}

TEST_F(SandboxAhead, AProcessThatEndsLeavesNothing) {
  // What is left is seen.
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  int number[2];
  ASSERT_EQ(::pipe(number), 0);
  const std::vector<pid_t> before = children_of(::getpid());
  const pid_t parent = ::fork();
  if (parent == 0) {
    const pid_t left = ::fork();
    if (left == 0) {
      ::pause();
      ::_exit(0);
    }
    ::_exit(::write(number[1], &left, sizeof(left)) == sizeof(left) ? 0 : 1);
  }
  pid_t left = 0;
  ASSERT_EQ(::read(number[0], &left, sizeof(left)), static_cast<ssize_t>(sizeof(left)));
  EXPECT_THAT(left_by(parent, before, std::chrono::milliseconds(50)),
              ::testing::ElementsAre(std::to_string(left)));
  ::kill(left, SIGKILL);
  ASSERT_EQ(::waitpid(left, nullptr, 0), left);
  ::close(number[0]);
  ::close(number[1]);

  EXPECT_TRUE(left_by_a_process_that_ends("true", false).empty());
  EXPECT_TRUE(left_by_a_process_that_ends("setsid sleep 60 > /dev/null 2>&1 &", false).empty());
}

// Then it removes itself what the keeper would have.
TEST_F(SandboxAhead, AProcessThatEndsWithoutItsKeeperLeavesNothing) {
  EXPECT_TRUE(left_by_a_process_that_ends("true", true).empty());
}

}  // namespace
}  // namespace gyges::isolation
