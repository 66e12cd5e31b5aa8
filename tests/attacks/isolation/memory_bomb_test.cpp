// Group D, by kind: memory has many names, and each of them ends within the limit.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>

#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

constexpr const char* python = "/usr/bin/python3";

struct Kind {
  const char* name;
  // Python that yields once for each MiB it holds, until it is refused or has 400.
  const char* program;
  // Without a cgroup of memory nothing in the kernel counts these for an unprivileged user; pid 1
  // does not either. docs/threat_model.md says so.
  bool needs_cgroup;
};

const Kind kinds[] = {
    {"private", "a=[]\nfor i in range(400): a.append(bytearray(b'x'*M)); yield", false},
    {"shared mapping",
     "import mmap\na=[]\nfor i in range(400):\n  m=mmap.mmap(-1,M); m.write(b'x'*M); "
     "a.append(m); yield",
     true},
    {"memory file", "f=os.memfd_create('f')\nfor i in range(400): os.write(f,b'x'*M); yield", true},
    {"tmpfs", "f=os.open('/tmp/f',66)\nfor i in range(400): os.write(f,b'x'*M); yield", false},
    {"/dev/shm", "f=os.open('/dev/shm/f',66)\nfor i in range(400): os.write(f,b'x'*M); yield",
     false},
    {"segment",
     "import ctypes\nc=ctypes.CDLL(None)\nc.shmat.restype=ctypes.c_void_p\n"
     "for i in range(400):\n  s=c.shmget(0,M,0o1600)\n  if s<0: raise MemoryError\n"
     "  p=c.shmat(s,None,0)\n  ctypes.memset(p,1,M); yield",
     true},
};

class MemoryBomb : public SandboxTest {
 protected:
  void SetUp() override {
    if (::access(python, X_OK) != 0) GTEST_SKIP() << "no python3";
  }

  void start_with(const std::function<void(Limits&)>& change) {
    SandboxSpec spec{test_policy(), {}, nullptr};
    change(spec.policy.limits);
    start(spec);
  }

  // MiB that a program held at most. It says so as it goes, because it may be killed for it, and
  // pid 1 with it: killing processes frees no file.
  int held(const Kind& kind) {
    auto pipe = make_pipe();
    if (!pipe) return -1;
    Command command;
    command.argv = {python, "-c",
                    "import os\nM=1<<20\ndef g():\n  " + indented(kind.program) +
                        "\n"
                        "try:\n"
                        "  for _ in g(): os.write(1,b'x')\n"
                        "except (MemoryError,OSError): pass\n"};
    command.environment = command_environment(policy_);
    command.directory = "/";
    command.standard_output = pipe->write.get();
    if (!sandbox_->spawn(command)) return -1;
    pipe->write.reset();
    auto said = read_all(pipe->read.get(), 4096);
    return said ? static_cast<int>(said->size()) : -1;
  }

  static std::string indented(const std::string& program) {
    std::string text;
    for (char c : program) {
      text += c;
      if (c == '\n') text += "  ";
    }
    return text;
  }
};

TEST_F(MemoryBomb, EveryKindOfMemoryEndsWithinTheLimit) {
  constexpr std::uint64_t limit = 150;
  for (const Kind& kind : kinds) {
    start_with([](Limits& limits) {
      limits.memory_bytes = limit << 20U;
      limits.disk_bytes = limit << 20U;
      limits.wall_seconds = 60;
    });
    int most = held(kind);
    bool counted = ::geteuid() == 0 || !kind.needs_cgroup;
    std::printf("%-14s %d MiB of %lu%s\n", kind.name, most, limit,
                counted ? "" : ", which nothing counts for an ordinary user here");
    EXPECT_GT(most, 20) << kind.name;
    if (counted) {
      EXPECT_LE(most, static_cast<int>(limit)) << kind.name;
    }
    // Whatever limit it was, its name is in the record, and the host goes on.
    SandboxEnd end = stop();
    bool refused = most < 400;
    bool named = std::any_of(end.limits_hit.begin(), end.limits_hit.end(), [](const LimitHit& hit) {
      return hit.limit == "memory_bytes" || hit.limit == "disk_bytes";
    });
    // An allocation that fails is the program's to report; a kill or a full disk is ours.
    if (refused && ::geteuid() == 0) {
      EXPECT_TRUE(named) << kind.name;
    }
  }
}

// Each row makes objects until the kernel refuses, or until ten thousand.
TEST_F(MemoryBomb, KernelObjectsAreBounded) {
  struct Row {
    const char* name;
    const char* make;  // python, makes one
  };
  const Row rows[] = {
      {"descriptors", "os.dup(0)"},
      {"pipes", "os.pipe()"},
      {"sockets", "keep.append(socket.socketpair())"},
      {"epoll", "keep.append(select.epoll())"},
      {"event files", "os.eventfd(0)"},
      {"memory files", "os.memfd_create('x')"},
      {"inotify", "check(c.inotify_init1(0))"},
      {"timers", "check(c.timer_create(1, None, ctypes.byref(t)))"},
      {"locked memory", "check(c.mlock(ctypes.c_void_p(c.mmap(None,65536,3,0x22,-1,0)),65536))"},
      {"message queues", "check(c.mq_open(b'/q%d' % n, 66, 0o600, None))"},
  };
  start_with([](Limits& limits) {
    limits.open_files = 512;
    limits.wall_seconds = 60;
  });
  for (const Row& row : rows) {
    Ran ran = run_argv({python, "-c",
                        std::string("import os,socket,select,ctypes\n"
                                    "c=ctypes.CDLL(None,use_errno=True)\n"
                                    "c.mmap.restype=ctypes.c_void_p\n"
                                    "c.mmap.argtypes=[ctypes.c_void_p,ctypes.c_size_t,ctypes.c_int,"
                                    "ctypes.c_int,ctypes.c_int,ctypes.c_long]\n"
                                    "t=ctypes.c_void_p()\nkeep=[]\nn=0\n"
                                    "def check(r):\n"
                                    "  if r<0: raise OSError(ctypes.get_errno(),'')\n"
                                    "try:\n"
                                    "  while n<10000:\n"
                                    "    ") +
                            row.make +
                            "; n+=1\n"
                            "except OSError: pass\n"
                            "os.write(1,b'%d\\n' % n)\n"
                            "os._exit(0)\n"});
    int made = std::atoi(ran.output.c_str());
    std::printf("%-14s %d\n", row.name, made);
    EXPECT_GT(made, 0) << row.name << ": " << ran.output;
    EXPECT_LT(made, 10000) << row.name;
  }
  EXPECT_EQ(run("echo alive").output, "alive\n");
}

}  // namespace
}  // namespace gyges::isolation
