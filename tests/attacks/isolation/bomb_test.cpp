// Group D: each ends within its limit, and pid 1 goes on.
#include <gmock/gmock.h>
#include <unistd.h>

#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

class Bomb : public SandboxTest {
 protected:
  void SetUp() override {
    if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no python3";
  }

  void start_with(const std::function<void(Limits&)>& change) {
    SandboxSpec spec{test_policy(), {}, nullptr};
    change(spec.policy.limits);
    start(spec);
  }

  // Runs a program and then shows that the sandbox still serves.
  Ran python(const std::string& text) {
    Ran ran = run_argv({"/usr/bin/python3", "-c", text});
    EXPECT_EQ(run("echo alive").output, "alive\n");
    return ran;
  }
};

TEST_F(Bomb, Threads) {
  start_with([](Limits& limits) { limits.processes = 50; });
  Ran ran = python(
      "import threading, time\n"
      "n = 0\n"
      "try:\n"
      "  for i in range(500):\n"
      "    threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start(); n += 1\n"
      "except RuntimeError: pass\n"
      "print(n)\n");
  EXPECT_LT(std::atoi(ran.output.c_str()), 50) << ran.output;
  EXPECT_GT(std::atoi(ran.output.c_str()), 10);
}

TEST_F(Bomb, PrivateMemory) {
  start_with([](Limits& limits) { limits.memory_bytes = 200U << 20U; });
  Ran ran = python(
      "try: b = bytearray(400 << 20); print('worked')\n"
      "except MemoryError: print('refused')\n");
  EXPECT_THAT(ran.output, ::testing::Not(::testing::HasSubstr("worked")));
}

TEST_F(Bomb, OpenFiles) {
  start_with([](Limits& limits) { limits.open_files = 64; });
  Ran ran = python(
      "import os\n"
      "n = 0\n"
      "try:\n"
      "  for i in range(500): os.dup(0); n += 1\n"
      "except OSError as e: print(n, e.errno)\n");
  EXPECT_THAT(ran.output, ::testing::HasSubstr(" 24"));  // EMFILE
}

TEST_F(Bomb, MessageQueuesAndLockedMemoryAreBounded) {
  start_with([](Limits&) {});
  EXPECT_EQ(run("ulimit -l").output, "8192\n");
  EXPECT_EQ(
      python("import resource\nprint(resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1])\n").output,
      "819200\n");
}

// A core pattern that names a program starts that program on the host, as root, for a crash inside,
// whatever the size limit is, unless the limit is one byte (core(5)).
TEST_F(Bomb, ACrashStartsNoHandlerOfTheHost) {
  start_with([](Limits&) {});
  EXPECT_EQ(python("import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE)[1])\n").output,
            "1\n");
  EXPECT_EQ(run("kill -SEGV $$").end.signal, 11);
}

TEST_F(Bomb, ManyShortProcesses) {
  start_with([](Limits& limits) { limits.wall_seconds = 100; });
  Ran ran = python(
      "import os\n"
      "for i in range(2000):\n"
      "  p = os.fork()\n"
      "  if p == 0: os._exit(0)\n"
      "  os.waitpid(p, 0)\n"
      "print('done')\n");
  EXPECT_EQ(ran.output, "done\n");
  // Orphans, which are pid 1's to reap.
  ran = python(
      "import os\n"
      "for i in range(1000):\n"
      "  p = os.fork()\n"
      "  if p == 0:\n"
      "    if os.fork() == 0: os._exit(0)\n"
      "    os._exit(0)\n"
      "  os.waitpid(p, 0)\n"
      "print('done')\n");
  EXPECT_EQ(ran.output, "done\n");
  EXPECT_LE(stop().processes_left, 1U);
}

}  // namespace
}  // namespace gyges::isolation
