// Group B where two sides are needed: what a process inside can do to the start of the next
// command.
#include <gtest/gtest.h>
#include <unistd.h>

#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

class Supervisor : public SandboxTest {
 protected:
  Result<CommandId> spawn(std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    command.environment = command_environment(policy_);
    return sandbox_->spawn(command);
  }
};

// Has commands wait at their start gate, as a recorder does.
class Gate : public recorder::Session {
 public:
  Status adopt(int, pid_t, std::uint32_t) override { return ok(); }
  Status tool_call_started(std::uint32_t, std::string_view) override { return ok(); }
  Status tool_call_ended(std::uint32_t) override { return ok(); }
  Status flush() override { return ok(); }
  Result<recorder::Coverage> close() override { return recorder::Coverage{}; }
};

// The agent may stop whatever is of its own user, and so also the next command on its way to the
// gate, for which pid 1 waits. Whether that command runs is up to the agent, which harms itself;
// that pid 1 goes on is not.
TEST_F(Supervisor, StoppingEveryCommandDoesNotStopPidOne) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no python3";
  Gate gate;
  SandboxSpec spec{test_policy(), {}, &gate};
  start(spec);
  ASSERT_TRUE(spawn({"/usr/bin/python3", "-c",
                     "import os, signal\n"
                     "while True:\n"
                     "  try: os.kill(-1, signal.SIGSTOP)\n"
                     "  except OSError: pass\n"}));
  ::usleep(300000);
  for (int i = 0; i < 3; ++i) {
    auto begin = std::chrono::steady_clock::now();
    (void)spawn({"/bin/true"}).has_value();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(6));
  }
  auto begin = std::chrono::steady_clock::now();
  EXPECT_GE(stop().processes_left, 1U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(Supervisor, KillingEverythingLeavesPidOneServing) {
  start();
  run("kill -9 -1");
  EXPECT_EQ(run("echo alive").output, "alive\n");
}

}  // namespace
}  // namespace gyges::isolation
