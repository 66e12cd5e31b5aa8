// The way of a command's process to its program, which shares the memory of pid 1 until then.
#include <gmock/gmock.h>
#include <sys/personality.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "sandbox/isolation/host_facts.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

using ::testing::HasSubstr;

class SandboxCommands : public SandboxTest {};

// Both ways a command comes to pid 1, in its message and in a file, with tables of either size.
TEST_F(SandboxCommands, LongAndShortOnesTakeTurns) {
  start();
  for (std::size_t bytes : {10UL, 15000UL, 100UL, 17000UL, 120000UL, 1UL}) {
    Ran ran = run_argv({"/bin/sh", "-c", "echo ${#1}", "sh", std::string(bytes, 'x')});
    EXPECT_EQ(ran.output, std::to_string(bytes) + "\n");
  }
  for (std::size_t count : {3UL, 5000UL, 1100UL, 1000UL, 2UL}) {
    std::vector<std::string> argv{"/bin/sh", "-c", "echo $# $1", "sh"};
    for (std::size_t i = 0; i < count; ++i) argv.push_back("a" + std::to_string(i));
    EXPECT_EQ(run_argv(argv).output, std::to_string(count) + " a0\n");
  }
}

TEST_F(SandboxCommands, FailuresOfOneAreNotThoseOfTheNext) {
  start();
  for (int round = 0; round < 20; ++round) {
    Ran missing = run_argv({"no-such-program"});
    EXPECT_EQ(missing.end.exit_code, 127);
    EXPECT_THAT(missing.end.start_error, HasSubstr("No such file"));
    Ran directory = run_argv({"/etc"});
    EXPECT_EQ(directory.end.exit_code, 126);
    EXPECT_THAT(directory.end.start_error, HasSubstr("Permission denied"));
    Ran fine = run("echo fine; exit 7");
    EXPECT_EQ(fine.end.start_error, "");
    EXPECT_EQ(fine.end.exit_code, 7);
    EXPECT_EQ(fine.output, "fine\n");
  }
}

// More at one time than any list of places had at first, and each with its own words.
TEST_F(SandboxCommands, ManyAtOneTimeKeepTheirOwnWords) {
  start();
  std::vector<CommandId> ids;
  for (int i = 0; i < 40; ++i) {
    Command command;
    command.argv = {"/bin/sh", "-c", "sleep 0.3; exit " + std::to_string(i)};
    command.environment = command_environment(policy_);
    command.directory = "/";
    auto id = sandbox_->spawn(command);
    ASSERT_TRUE(id) << id.error().line();
    ids.push_back(*id);
  }
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(15);
  for (int i = 0; i < 40; ++i) {
    auto end = sandbox_->wait(ids[static_cast<std::size_t>(i)], deadline);
    ASSERT_TRUE(end && *end);
    EXPECT_EQ((*end)->exit_code, i);
  }
}

// Keeps every command at its gate for a while.
class SlowGate : public recorder::Session {
 public:
  Status adopt(int, pid_t, std::uint32_t) override {
    if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return ok();
  }
  Status tool_call_started(std::uint32_t, std::string_view) override { return ok(); }
  Status tool_call_ended(std::uint32_t) override { return ok(); }
  Status flush() override { return ok(); }
  Result<recorder::Coverage> close() override { return recorder::Coverage{}; }

  std::atomic<bool> slow = false;
};

// Someone of the same user who looks into every process on its way, traces, stops and kills it.
TEST_F(SandboxCommands, ComeThroughWhoeverStopsAndKillsThem) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no python3";
  SlowGate gate;
  start(SandboxSpec{test_policy(), {}, &gate});
  Command hostile;
  hostile.argv = {
      "/usr/bin/python3", "-c",
      "import ctypes, os, signal\n"
      "c = ctypes.CDLL(None)\n"
      "open('/proc/self/mem', 'rb').close()\n"
      "print('own', flush=True)\n"
      "while True:\n"
      "  for n in os.listdir('/proc'):\n"
      "    if not n.isdigit() or int(n) in (1, os.getpid()): continue\n"
      "    try:\n"
      "      if open(f'/proc/{n}/comm').read() != 'init\\n': continue\n"
      "      for name in ('mem', 'maps', 'environ'):\n"
      "        try:\n"
      "          text = open(f'/proc/{n}/{name}', 'rb').read(9)\n"
      // It may have executed its program between the two looks, and the dead have empty files.
      "          if text and open(f'/proc/{n}/comm').read() == 'init\\n': os.write(1, b'read')\n"
      "        except OSError: pass\n"
      "      if c.ptrace(16, int(n), 0, 0) == 0:\n"
      "        if open(f'/proc/{n}/comm').read() == 'init\\n': os.write(1, b'traced')\n"
      // Or nobody would hear of its end.
      "        os.waitpid(int(n), 0x40000000)\n"
      "        c.ptrace(17, int(n), 0, 0)\n"
      "      for number in (signal.SIGSTOP, signal.SIGQUIT, signal.SIGKILL):\n"
      "        os.kill(int(n), number)\n"
      "    except OSError: pass\n"};
  hostile.environment = command_environment(policy_);
  hostile.directory = "/tmp";
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  hostile.standard_output = pipe->write.get();
  auto id = sandbox_->spawn(hostile);
  ASSERT_TRUE(id) << id.error().line();
  pipe->write.reset();
  hostile.standard_output = -1;
  char text[256] = {};
  ASSERT_EQ(::read(pipe->read.get(), text, sizeof(text)), 4);
  EXPECT_EQ(std::string(text), "own\n");
  int killed = 0;
  Command victim = hostile;
  victim.argv = {"/bin/true"};
  for (int i = 0; i < 60; ++i) {
    gate.slow = i % 3 == 0;
    auto started = sandbox_->spawn(victim);
    // One that is killed before anybody has asked for its number is not to be labelled.
    if (!started) {
      EXPECT_THAT(started.error().line(), HasSubstr("it is gone"));
      ++killed;
      continue;
    }
    auto end =
        sandbox_->wait(*started, std::chrono::steady_clock::now() + std::chrono::seconds(15));
    ASSERT_TRUE(end && *end) << i;
    killed += (*end)->signal == 0 ? 0 : 1;
    EXPECT_TRUE((*end)->signal == SIGKILL || (*end)->signal == SIGQUIT || (*end)->exit_code == 0)
        << (*end)->exit_code << " " << (*end)->signal;
  }
  EXPECT_GT(killed, 10) << "it must have met them on their way";
  ASSERT_TRUE(sandbox_->signal(*id, SIGKILL, true));
  EXPECT_EQ(run("echo there").output, "there\n");
  ssize_t n = ::read(pipe->read.get(), text, sizeof(text));
  EXPECT_EQ(std::string(text, n > 0 ? static_cast<std::size_t>(n) : 0), "");
  EXPECT_EQ(stop().limits_hit.size(), 0U) << "pid 1 lived";
}

// Before Linux 6.3 execve(2) does not enter the time namespace, so that the process has memory of
// its own and is in that namespace from the start.
TEST_F(SandboxCommands, OfAnOlderKernelHaveMemoryOfTheirOwn) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  spec.policy.cues.uptime_seconds = 8640000;
  std::thread older([&] {
    // This kernel then calls itself 2.6.
    ASSERT_NE(::personality(UNAME26), -1);
    auto host = read_host_facts();
    ASSERT_TRUE(host);
    EXPECT_FALSE(host->exec_enters_time);
    start(spec);
    for (int i = 0; i < 5; ++i) {
      EXPECT_GT(std::stod(run("cut -d' ' -f1 /proc/uptime").output), 8640000.0);
      EXPECT_EQ(run_argv({"no-such-program"}).end.exit_code, 127);
      Ran words = run_argv({"/bin/sh", "-c", "echo ${#1}", "sh", std::string(20000, 'x')});
      EXPECT_EQ(words.output, "20000\n");
    }
    EXPECT_EQ(stop().limits_hit.size(), 0U);
    sandbox_.reset();
  });
  older.join();
}

}  // namespace
}  // namespace gyges::isolation
