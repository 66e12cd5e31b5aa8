// Group D: each ends within its limit, and pid 1 goes on.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "base/fd.h"
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

// Memory has many names. Each ends within the limit, and the record says which.
struct Kind {
  const char* name;
  // Python that yields once for each MiB it holds, until it is refused or has 400.
  const char* program;
  // Without a cgroup of memory nothing in the kernel counts these: pid 1 does, five times a second.
  bool is_watched;
};

const Kind kinds[] = {
    {"private", "for i in range(400): keep.append(bytearray(b'x'*M)); yield", false},
    {"shared mapping",
     "for i in range(400):\n  m=mmap.mmap(-1,M); m.write(b'x'*M); keep.append(m); yield", true},
    {"memory file", "f=os.memfd_create('f')\nfor i in range(400): os.write(f,b'x'*M); yield", true},
    {"tmpfs", "f=os.open('/tmp/f',66)\nfor i in range(400): os.write(f,b'x'*M); yield", false},
    {"/dev/shm", "f=os.open('/dev/shm/f',66)\nfor i in range(400): os.write(f,b'x'*M); yield",
     false},
    {"segment",
     "for i in range(400):\n  s=c.shmget(0,M,0o1600)\n  if s<0: raise MemoryError\n"
     "  ctypes.memset(c.shmat(s,None,0),1,M); yield",
     true},
};

class MemoryBomb : public Bomb {
 protected:
  // MiB that a program held at most. It says so as it goes, because it may be killed for it, and
  // pid 1 with it: killing processes frees no file.
  int held(const Kind& kind, bool slowly) {
    std::string program = "  ";
    for (const char* at = kind.program; *at != '\0'; ++at) {
      program += *at;
      if (*at == '\n') program += "  ";
    }
    auto pipe = make_pipe();
    if (!pipe) return -1;
    Command command;
    command.argv = {"/usr/bin/python3", "-c",
                    "import os,mmap,ctypes,time\nM=1<<20\nkeep=[]\nc=ctypes.CDLL(None)\n"
                    "c.shmat.restype=ctypes.c_void_p\ndef g():\n" +
                        program +
                        "\ntry:\n  for _ in g(): os.write(1,b'x'); time.sleep(" +
                        (slowly ? "0.01" : "0") + ")\n"
                        "except (MemoryError,OSError): pass\n"};
    command.environment = command_environment(policy_);
    command.directory = "/";
    command.standard_output = pipe->write.get();
    if (!sandbox_->spawn(command)) return -1;
    pipe->write.reset();
    auto said = read_all(pipe->read.get(), 4096);
    return said ? static_cast<int>(said->size()) : -1;
  }
};

TEST_F(MemoryBomb, EveryKindOfMemoryEndsWithinTheLimit) {
  constexpr int limit = 150;
  for (const Kind& kind : kinds) {
    start_with([](Limits& limits) {
      limits.memory_bytes = static_cast<std::uint64_t>(limit) << 20U;
      limits.disk_bytes = static_cast<std::uint64_t>(limit) << 20U;
      limits.wall_seconds = 60;
    });
    const bool cgroup = sandbox_->enforcement().memory == "sandbox";
    const bool watched = !cgroup && kind.is_watched;
    const int most = held(kind, watched);
    std::printf("%-14s %d MiB of %d%s\n", kind.name, most, limit,
                watched ? ", counted by pid 1" : "");
    EXPECT_GT(most, 20) << kind.name;
    // 100 MiB a second at most, and five looks.
    EXPECT_LE(most, watched ? 2 * limit : limit) << kind.name;
    SandboxEnd end = stop();
    const bool named =
        std::any_of(end.limits_hit.begin(), end.limits_hit.end(), [](const LimitHit& hit) {
          return hit.limit == "memory_bytes" || hit.limit == "disk_bytes";
        });
    // An allocation that fails is in the record of calls; a kill or a full disk is known without.
    if ((cgroup || watched) && std::string(kind.name) != "private") {
      EXPECT_TRUE(named) << kind.name;
    }
  }
}

// The control of the above: without the limit each kind gets all that it asks for.
TEST_F(MemoryBomb, WithoutTheLimitAllIsHeld) {
  for (const Kind& kind : kinds) {
    start_with([](Limits& limits) {
      limits.memory_bytes = 0;
      limits.disk_bytes = 0;
      limits.wall_seconds = 60;
    });
    EXPECT_EQ(held(kind, false), 400) << kind.name;
    stop();
  }
}

// No process is over the limit; all of them together are. Those that share what they have are not.
TEST_F(MemoryBomb, ProcessesAreCountedTogether) {
  const std::string children =
      "import mmap,os,select,time\n"
      "told,tell=os.pipe()\n"
      "shared=mmap.mmap(-1,SHARED<<20) if SHARED else None\n"
      "if shared: shared.write(b'x'*(SHARED<<20))\n"
      "pids=[]\n"
      "for i in range(20):\n"
      "  p=os.fork()\n"
      "  if p==0:\n"
      "    own=bytearray(b'x'*(OWN<<20))\n"
      "    if shared: sum(shared[k] for k in range(0,SHARED<<20,4096))\n"
      "    os.write(tell,bytes([i])); time.sleep(40); os._exit(0)\n"
      "  pids.append(p)\n"
      "  time.sleep(0.02)\n"
      // From here on each holds what it is to hold, or has been killed on the way.
      "holding,left,end=set(),pids,time.monotonic()+30\n"
      "while any(p not in holding for p in left) and time.monotonic()<end:\n"
      "  if select.select([told],[],[],0.05)[0]:\n"
      "    holding|={pids[i] for i in os.read(told,20)}\n"
      "  left=[p for p in left if os.waitpid(p,os.WNOHANG)[0]==0]\n"
      "time.sleep(1.5)\n"
      "left=[p for p in left if os.waitpid(p,os.WNOHANG)[0]==0]\n"
      "for p in left: os.kill(p,9)\n"
      "print(len(left))\n";
  auto alive = [&](int own, int shared, std::uint64_t limit) {
    start_with([&](Limits& limits) {
      limits.memory_bytes = limit;
      limits.wall_seconds = 60;
    });
    const int count = std::atoi(python("OWN=" + std::to_string(own) + "\nSHARED=" +
                                       std::to_string(shared) + "\n" + children)
                                    .output.c_str());
    stop();
    return count;
  };
  constexpr std::uint64_t limit = 300U << 20U;
  EXPECT_EQ(alive(30, 0, 0), 20);
  const int some = alive(30, 0, limit);
  EXPECT_GT(some, 0);
  EXPECT_LE(some, 10);
  EXPECT_EQ(alive(1, 100, limit), 20);
}

// Data that was sent and is not read. An ordinary user without a memory cgroup has no such limit;
// docs/threat_model.md says so.
TEST_F(Bomb, WhatWaitsInSocketsIsCounted) {
  for (const char* send :
       {// A connection holds several MiB in each direction.
        "l=socket.socket(); l.bind(('127.0.0.1',0)); l.listen(99)\n"
        "def one():\n"
        "  c=socket.socket(); c.connect(l.getsockname()); s,_=l.accept()\n"
        "  return (c,s),(s,c)\n",
        "def one():\n"
        "  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',0))\n"
        "  c=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); c.connect(s.getsockname())\n"
        "  return (c,s),\n"}) {
    start_with([](Limits& limits) {
      limits.memory_bytes = 128U << 20U;
      limits.wall_seconds = 60;
    });
    if (sandbox_->enforcement().memory != "sandbox") GTEST_SKIP() << "no memory cgroup";
    Ran ran = python(std::string("import os,re,socket,time\nkeep=[]\n") + send +
                     "for i in range(150):\n"
                     "  try: pairs=one()\n"
                     "  except OSError: break\n"
                     "  keep+=pairs\n"
                     "  for a,b in pairs:\n"
                     "    a.setblocking(False); refused=0; sent=0\n"
                     "    while refused<3 and sent<(2<<20):\n"
                     "      try: sent+=a.send(b'x'*8000); refused=0\n"
                     "      except OSError: refused+=1; time.sleep(0.001)\n"
                     "pages=sum(int(n) for n in re.findall(r'mem (\\d+)',\n"
                     "  open('/proc/net/sockstat').read()))\n"
                     "print('MiB', pages*4096>>20)\n");
    std::printf("%s", ran.output.c_str());
    // Where it counts together with all other memory the program may have been killed for it.
    const std::size_t at = ran.output.find("MiB ");
    if (at == std::string::npos) {
      EXPECT_EQ(ran.end.signal, SIGKILL) << ran.output;
      continue;
    }
    EXPECT_GT(std::atoi(ran.output.c_str() + at + 4), 4) << ran.output;
    EXPECT_LE(std::atoi(ran.output.c_str() + at + 4), 128) << ran.output;
  }
}

// Each row makes objects until the kernel refuses, or until ten thousand.
TEST_F(Bomb, KernelObjectsAreBounded) {
  struct Row {
    const char* name;
    const char* make;  // python, makes one
    int most;
  };
  const Row rows[] = {
      {"descriptors", "os.dup(0)", 1024},
      {"pipes", "os.pipe()", 512},
      {"sockets", "keep.append(socket.socketpair())", 512},
      {"epoll", "keep.append(select.epoll())", 1024},
      {"event files", "check(c.eventfd(0,0))", 1024},
      {"memory files", "os.memfd_create('x')", 1024},
      {"inotify", "check(c.inotify_init1(0))", 1024},
      {"timers", "check(c.timer_create(1, None, ctypes.byref(t)))", 9000},
      {"locked memory",
       "a=c.mmap(None,65536,3,0x22,-1,0); check(c.mlock(ctypes.c_void_p(a),65536))", 128},
      {"terminals", "os.open('/dev/ptmx',2)", 256},
  };
  start_with([](Limits& limits) {
    limits.open_files = 1024;
    limits.wall_seconds = 60;
  });
  for (const Row& row : rows) {
    Ran ran = run_argv({"/usr/bin/python3", "-c",
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
    const int made = std::atoi(ran.output.c_str());
    std::printf("%-14s %d\n", row.name, made);
    EXPECT_GT(made, 0) << row.name << ": " << ran.output;
    EXPECT_LE(made, row.most) << row.name;
  }
  EXPECT_EQ(run("echo alive").output, "alive\n");
}

}  // namespace
}  // namespace gyges::isolation
