// Landlock as a second wall in real sandboxes, each with a control that lacks only this wall, and
// limits that must be the sandbox's as a whole.
#include <gmock/gmock.h>

#include "sandbox/isolation/cgroup.h"
#include "sandbox/isolation/host_facts.h"
#include "sandbox/isolation/landlock.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

using ::testing::HasSubstr;

class LandlockWall : public SandboxTest {
 protected:
  void needs(int abi) {
    if (landlock_abi() < abi)
      GTEST_SKIP() << "needs Landlock ABI " << abi << ", this kernel has " << landlock_abi();
  }

  // What the command prints under these rules.
  std::string under(const LandlockRules& rules, const std::string& command) {
    SandboxSpec spec{test_policy(), {}, nullptr};
    spec.policy.landlock = rules;
    start(spec);
    std::string output = sandbox_ ? run(command).output : "";
    stop();
    return output;
  }

  LandlockRules none_;
  void SetUp() override { none_.mounts = LandlockRules::Mounts::off; }
};

// Everything but writing at home and executing what was written.
LandlockRules narrow() {
  LandlockRules rules;
  rules.mounts = LandlockRules::Mounts::off;
  rules.paths = std::vector<LandlockPath>{
      {"/", true, false, false},   {"/usr", true, false, true},   {"/bin", true, false, true},
      {"/lib", true, false, true}, {"/lib64", true, false, true}, {"/tmp", true, true, false},
      {"/dev", true, true, false}};
  return rules;
}

TEST_F(LandlockWall, StandsInEverySandboxOfTheDefaultPolicy) {
  needs(2);
  if (IsSkipped()) return;
  start();
  EXPECT_THAT(sandbox_->enforcement().landlock, HasSubstr("from the mounts"));
  // Ordinary life goes on: renames between directories, links, devices, own files.
  Ran ran = run(
      "cd; mkdir a b; echo 1 > a/f && mv a/f b/g && ln b/g a/h && ln -s b/g s && cat s > /dev/null "
      "&& cp /bin/true t && ./t && rm -r a && mkfifo p && echo $$ > /proc/self/comm && "
      "ls / /proc/self /dev > /dev/null && echo fine");
  EXPECT_EQ(ran.output, "fine\n");
}

TEST_F(LandlockWall, PathsOutsideTheRulesCannotBeWrittenOrExecuted) {
  needs(2);
  if (IsSkipped()) return;
  const char* write = "cd; echo x > f && echo written";
  EXPECT_THAT(under(narrow(), write), HasSubstr("Permission denied"));
  EXPECT_EQ(under(none_, write), "written\n");
  const char* execute = "cp /bin/true /tmp/t; /tmp/t && echo executed";
  EXPECT_THAT(under(narrow(), execute), HasSubstr("Permission denied"));
  EXPECT_EQ(under(none_, execute), "executed\n");
  EXPECT_EQ(under(narrow(), "echo x > /tmp/f && cat /tmp/f"), "x\n");
}

TEST_F(LandlockWall, OnlyStatedPortsCanBeBound) {
  needs(4);
  if (IsSkipped()) return;
  LandlockRules rules = none_;
  rules.tcp_bind = std::vector<std::uint16_t>{8080};
  auto bind = [](int port) {
    return "python3 -c 'import socket; socket.socket().bind((\"127.0.0.1\", " +
           std::to_string(port) + ")); print(\"bound\")'";
  };
  EXPECT_EQ(under(rules, bind(8080)), "bound\n");
  EXPECT_THAT(under(rules, bind(8081)), HasSubstr("Permission denied"));
  EXPECT_EQ(under(none_, bind(8081)), "bound\n");
}

// Landlock knows nothing of looking at a file, of its mode, owner and attributes, or of datagrams:
// there the mounts and the network namespace hold alone.
TEST_F(LandlockWall, WhatItDoesNotCoverOtherWallsHold) {
  needs(4);
  if (IsSkipped()) return;
  LandlockRules rules = narrow();
  rules.tcp_bind = std::vector<std::uint16_t>{};
  const std::string output =
      under(rules,
            "python3 -c 'import os, socket\n"
            "def t(f):\n"
            "  try: f(); return 0\n"
            "  except OSError as e: return e.errno\n"
            "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "print(t(lambda: os.stat(\"/etc/ssl\")),\n"
            "  t(lambda: os.chmod(\"/usr\", 0o755)), t(lambda: os.utime(\"/usr\")),\n"
            "  t(lambda: os.setxattr(\"/usr\", \"user.x\", b\"\")),\n"
            "  t(lambda: udp.sendto(b\"x\", (\"192.0.2.1\", 9))),\n"
            "  t(lambda: socket.socket().bind((\"127.0.0.1\", 8081))))'");
  // Looked at; EROFS three times; ENETUNREACH; EACCES.
  EXPECT_EQ(output, "0 30 30 30 101 13\n");
}

TEST_F(LandlockWall, CannotBeTakenDownFromInside) {
  needs(2);
  if (IsSkipped()) return;
  // A further domain only narrows; mounts, which could show a path elsewhere, are refused besides.
  EXPECT_THAT(under(narrow(),
                    "python3 -c 'import ctypes, os\n"
                    "libc = ctypes.CDLL(None, use_errno=True)\n"
                    "print(libc.syscall(446, -1, 0))\n"
                    "open(os.environ[\"HOME\"] + \"/f\", \"w\")' 2>&1"),
              HasSubstr("Permission denied"));
}

class WholeLimits : public SandboxTest {};

TEST_F(WholeLimits, OfMemoryNeedACgroupOrAcceptance) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  spec.policy.limits.memory_of_sandbox = true;
  bool can = false;
  auto cgroup = Cgroup::create({16, 64U << 20U});
  ASSERT_TRUE(cgroup) << cgroup.error().line();
  if (*cgroup) can = (*cgroup)->limits_memory();
  auto sandbox = Sandbox::start(spec);
  if (can && read_host_facts().value().root) {
    ASSERT_TRUE(sandbox) << sandbox.error().line();
    EXPECT_EQ((*sandbox)->enforcement().memory, "sandbox");
    EXPECT_TRUE((*sandbox)->enforcement().degraded.empty());
    return;
  }
  if (can) GTEST_SKIP() << "a cgroup is delegated to this user";
  ASSERT_FALSE(sandbox);
  EXPECT_THAT(sandbox.error().line(), HasSubstr("--allow-degraded=memory_cgroup"));
  spec.allow_degraded = {"memory_cgroup"};
  start(spec);
  ASSERT_TRUE(sandbox_);
  EXPECT_EQ(sandbox_->enforcement().memory, "process");
  EXPECT_EQ(sandbox_->enforcement().degraded, std::vector<std::string>{"memory_cgroup"});
}

TEST_F(WholeLimits, UnknownDegradationsAreErrors) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  spec.allow_degraded = {"seccomp"};
  auto sandbox = Sandbox::start(spec);
  ASSERT_FALSE(sandbox);
  EXPECT_THAT(sandbox.error().line(), HasSubstr("nothing has this name"));
}

}  // namespace
}  // namespace gyges::isolation
