#include "sandbox/isolation/sandbox.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "sandbox_fixture.h"
#include "tests/own_groups.h"

namespace gyges::isolation {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using SandboxBasics = SandboxTest;

TEST_F(SandboxBasics, RunsACommandAndPassesItsStatus) {
  start();
  Ran ran = run("echo hello; exit 3");
  EXPECT_EQ(ran.output, "hello\n");
  EXPECT_EQ(ran.end.exit_code, 3);
  EXPECT_EQ(ran.end.signal, 0);
  ran = run("kill -TERM $$");
  EXPECT_EQ(ran.end.signal, SIGTERM);
}

TEST_F(SandboxBasics, NamesAProgramThatCannotStart) {
  start();
  EXPECT_EQ(run_argv({"no-such-program"}).end.exit_code, 127);
  Ran ran = run_argv({"/etc"});
  EXPECT_EQ(ran.end.exit_code, 126);
  EXPECT_NE(ran.end.start_error, "");
}

TEST_F(SandboxBasics, NamesADirectoryThatCannotBeEntered) {
  start();
  Command command;
  command.argv = {"/bin/true"};
  command.environment = command_environment(policy_);
  command.directory = "/no/such/place";
  auto id = sandbox_->spawn(command);
  ASSERT_TRUE(id) << id.error().line();
  auto end = sandbox_->wait(*id, std::chrono::steady_clock::now() + std::chrono::seconds(10));
  ASSERT_TRUE(end && *end);
  EXPECT_THAT((*end)->start_error, HasSubstr("enter its directory"));
  EXPECT_EQ((*end)->exit_code, 126);
}

TEST_F(SandboxBasics, IsTheUserOfThePolicyWithoutPrivilege) {
  start();
  EXPECT_EQ(run("id -u; id -g").output, "1000\n1000\n");
  Ran ran = run("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
  EXPECT_THAT(ran.output, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(ran.output, HasSubstr("CapBnd:\t0000000000000000"));
  EXPECT_THAT(ran.output, HasSubstr("CapAmb:\t0000000000000000"));
  EXPECT_THAT(ran.output, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(ran.output, HasSubstr("Seccomp:\t2"));
}

TEST_F(SandboxBasics, HasItsOwnNamespaces) {
  start();
  for (const char* name : {"mnt", "pid", "net", "uts", "ipc", "cgroup", "time"}) {
    std::string path = std::string("/proc/self/ns/") + name;
    char outside[64] = {};
    if (::readlink(path.c_str(), outside, sizeof(outside) - 1) < 0) continue;
    EXPECT_THAT(run("readlink " + path).output, Not(HasSubstr(outside))) << name;
  }
  EXPECT_EQ(run("cat /proc/sys/kernel/hostname").output, "localhost\n");
}

TEST_F(SandboxBasics, SeesOnlyItsOwnProcesses) {
  start();
  EXPECT_EQ(run("cat /proc/1/comm").output, "init\n");
  EXPECT_LT(std::stoi(run("ls /proc | grep -c '^[0-9]'").output), 8);
}

TEST_F(SandboxBasics, LoopbackIsUpAndNothingElseIsThere) {
  start();
  EXPECT_EQ(run("ls /proc/sys/net/ipv4/conf | sort | tr '\\n' ' '").output, "all default lo ");
  Ran ran = run("cat /proc/net/if_inet6 /proc/net/fib_trie");
  EXPECT_THAT(ran.output, HasSubstr("127.0.0.1"));
}

TEST_F(SandboxBasics, OnlyStandardDescriptorsAreOpen) {
  // Something inheritable in the supervisor must not reach the inside.
  int leaked = ::dup(STDERR_FILENO);
  start();
  // ls itself opens one more for the directory.
  EXPECT_EQ(run_argv({"/bin/ls", "/proc/self/fd"}).output, "0\n1\n2\n3\n");
  ::close(leaked);
}

// As scripts do that write a message to /dev/stderr.
TEST_F(SandboxBasics, StandardDescriptorsOpenByName) {
  start();
  EXPECT_EQ(run("echo out > /dev/stdout; echo err > /dev/stderr").output, "out\nerr\n");
}

TEST_F(SandboxBasics, EnvironmentIsExactlyThePolicys) {
  ::setenv("SECRET_TOKEN", "hunter2", 1);
  start();
  std::string output = run_argv({"/usr/bin/env"}).output;
  EXPECT_THAT(output, Not(HasSubstr("hunter2")));
  EXPECT_THAT(output, HasSubstr("HOME=/home/user"));
  ::unsetenv("SECRET_TOKEN");
}

TEST_F(SandboxBasics, TheHostsProgramsCannotBeChanged) {
  start();
  EXPECT_NE(run("echo x > /usr/bin/x").end.exit_code, 0);
  EXPECT_NE(run("echo x > /x").end.exit_code, 0);
  EXPECT_EQ(run("echo x > /tmp/x").end.exit_code, 0);  // the control: this one is writable
}

TEST_F(SandboxBasics, PidOneCannotBeReadOrSignalled) {
  start();
  for (const char* file : {"environ", "mem", "exe", "root", "fd", "maps"})
    EXPECT_NE(run(std::string("ls -l /proc/1/") + file + "/ && cat /proc/1/" + file).end.exit_code,
              0)
        << file;
  run("kill -9 1; kill -STOP 1; kill -TERM 1");
  EXPECT_EQ(run("echo alive").output, "alive\n");
}

TEST_F(SandboxBasics, DaemonsDieWithTheSandbox) {
  start();
  run("setsid sleep 1000 > /dev/null 2>&1 < /dev/null & setsid sh -c 'trap \"\" TERM; sleep 1000' "
      "> /dev/null 2>&1 < /dev/null &");
  SandboxEnd end = stop();
  EXPECT_GE(end.processes_left, 2U);
}

TEST_F(SandboxBasics, DiesWithItsSupervisor) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  pid_t supervisor = ::fork();
  if (supervisor == 0) {
    auto sandbox = Sandbox::start(SandboxSpec{test_policy(), {}, nullptr});
    if (!sandbox) ::_exit(1);
    Command command;
    command.argv = {"/bin/sh", "-c", "echo up; sleep 1000"};
    command.environment = command_environment(test_policy());
    command.standard_output = pipe->write.get();
    if (!(*sandbox)->spawn(command)) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  pipe->write.reset();
  char text[3] = {};
  ASSERT_EQ(::read(pipe->read.get(), text, 3), 3);  // it is running
  ::kill(supervisor, SIGKILL);
  ::waitpid(supervisor, nullptr, 0);
  // The write end of the pipe is held by processes of the sandbox only: its end is their end.
  char byte = 0;
  EXPECT_EQ(::read(pipe->read.get(), &byte, 1), 0);
  // Its cgroups go too, a moment later.
  for (int i = 0; i < 1000 && !groups_of(supervisor).empty(); ++i) ::usleep(10000);
  EXPECT_THAT(groups_of(supervisor), ::testing::IsEmpty());
}

TEST_F(SandboxBasics, UptimeFollowsThePolicy) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  spec.policy.cues.uptime_seconds = 8640000;
  start(spec);
  EXPECT_GT(std::stod(run("cut -d' ' -f1 /proc/uptime").output), 8640000.0);
}

TEST_F(SandboxBasics, ManyCommandsOneAfterAnother) {
  start();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(run_argv({"/bin/true"}).end.exit_code, 0);
  EXPECT_EQ(stop().processes_left, 0U);
}

TEST_F(SandboxBasics, UnmetSourceIsAnErrorThatNamesIt) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  Mount mount;
  mount.target = mount.source = "/no/such/place";
  spec.policy.filesystem.mounts.push_back(mount);
  auto sandbox = Sandbox::start(spec);
  ASSERT_FALSE(sandbox);
  EXPECT_THAT(sandbox.error().line(), HasSubstr("/no/such/place"));
}

}  // namespace
}  // namespace gyges::isolation
