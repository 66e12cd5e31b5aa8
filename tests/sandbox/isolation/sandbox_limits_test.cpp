#include <gmock/gmock.h>
#include <signal.h>

#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

class SandboxLimits : public SandboxTest {
 protected:
  static bool was_hit(const SandboxEnd& end, const std::string& limit) {
    for (const LimitHit& hit : end.limits_hit)
      if (hit.limit == limit) return true;
    return false;
  }

  void start_with(const std::function<void(Limits&)>& change) {
    SandboxSpec spec{test_policy(), {}, nullptr};
    change(spec.policy.limits);
    start(spec);
  }
};

TEST_F(SandboxLimits, ForkBombStaysWithinItsProcesses) {
  start_with([](Limits& limits) { limits.processes = 40; });
  Ran ran = run("i=0; while [ $i -lt 200 ]; do sleep 2 & i=$((i+1)); done 2>&1; wait");
  EXPECT_THAT(ran.output, ::testing::HasSubstr("fork"));
  EXPECT_TRUE(was_hit(stop(), "processes"));
}

TEST_F(SandboxLimits, ZeroMeansNoLimitOfProcesses) {
  start_with([](Limits& limits) { limits.processes = 0; });
  EXPECT_EQ(run("(true) && (true | true) && echo forked").output, "forked\n");
}

TEST_F(SandboxLimits, WallClockEndsEverything) {
  start_with([](Limits& limits) { limits.wall_seconds = 1; });
  Ran ran = run("trap '' TERM INT HUP; while :; do sleep 1; done");
  EXPECT_EQ(ran.end.signal, SIGKILL);
  EXPECT_TRUE(was_hit(stop(), "wall_seconds"));
}

TEST_F(SandboxLimits, StoppedProcessesDoNotOutliveTheWallClock) {
  start_with([](Limits& limits) { limits.wall_seconds = 1; });
  EXPECT_EQ(run("kill -STOP $$").end.signal, SIGKILL);
}

TEST_F(SandboxLimits, DiskIsBounded) {
  start_with([](Limits& limits) { limits.disk_bytes = 4 << 20; });
  EXPECT_NE(run("head -c 100000000 /dev/zero > /tmp/big").end.exit_code, 0);
  EXPECT_TRUE(was_hit(stop(), "disk_bytes"));
}

TEST_F(SandboxLimits, SharedMemoryCountsAsDisk) {
  start_with([](Limits& limits) { limits.disk_bytes = 4 << 20; });
  EXPECT_NE(run("head -c 100000000 /dev/zero > /dev/shm/big").end.exit_code, 0);
}

TEST_F(SandboxLimits, InodesAreBounded) {
  start_with([](Limits& limits) { limits.inodes = 300; });
  EXPECT_NE(run("cd /tmp; i=0; while [ $i -lt 400 ]; do : > f$i || exit 9; i=$((i+1)); done")
                .end.exit_code,
            0);
  EXPECT_TRUE(was_hit(stop(), "inodes"));
}

TEST_F(SandboxLimits, FileSizeIsBounded) {
  start_with([](Limits& limits) { limits.file_bytes = 1 << 20; });
  Ran ran = run_argv({"/usr/bin/head", "-c", "5000000", "/dev/zero"});
  EXPECT_EQ(ran.end.exit_code, 0);  // a pipe is not a file
  ran = run("exec dd if=/dev/zero of=/tmp/f bs=65536 count=100");
  EXPECT_EQ(ran.end.signal, SIGXFSZ);
  EXPECT_TRUE(was_hit(stop(), "file_bytes"));
}

TEST_F(SandboxLimits, ProcessorTimeIsBounded) {
  start_with([](Limits& limits) { limits.cpu_seconds = 1; });
  EXPECT_EQ(run("while :; do :; done").end.signal, SIGXCPU);
  EXPECT_TRUE(was_hit(stop(), "cpu_seconds"));
}

TEST_F(SandboxLimits, AKillIsNotTheEndOfProcessorTime) {
  start_with([](Limits& limits) { limits.cpu_seconds = 1; });
  EXPECT_EQ(run("kill -9 $$").end.signal, SIGKILL);
  EXPECT_FALSE(was_hit(stop(), "cpu_seconds"));
}

}  // namespace
}  // namespace gyges::isolation
