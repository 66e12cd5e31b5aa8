// A tracee that does little else than call is bound to the tracer's CPU: it must not find out, and
// neither it nor its children may keep it.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include "capture_fixture.h"

namespace gyges::recorder {
namespace {

// Between the test and what it records, which is another process.
struct Shared {
  std::atomic<pid_t> caller{0};
  std::atomic<bool> looking{false};
  std::atomic<bool> seen_bound{false};
};

void make_many_calls() {
  for (int i = 0; i < 3000; ++i) syscall(SYS_getppid);
}

int cpus_of(pid_t pid) {
  cpu_set_t set;
  return sched_getaffinity(pid, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;
}

std::string cpus_in_status() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("Cpus_allowed_list:")) return line;
  return {};
}

int call_and_look(Shared& shared, int all, bool expects_it) {
  const std::string before = cpus_in_status();
  shared.caller = static_cast<pid_t>(syscall(SYS_gettid));
  while (!shared.looking) usleep(1000);
  // On a machine that is at work with something else it may take a while.
  for (int round = 0; round < (expects_it ? 200 : 3) && !shared.seen_bound; ++round)
    make_many_calls();
  shared.caller = 0;
  if (cpus_of(0) != all) return 1;
  make_many_calls();
  if (cpus_in_status() != before) return 2;
  make_many_calls();
  const pid_t child = fork();
  if (child == 0) _exit(cpus_of(0) == all ? 0 : 3);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) return 3;
  make_many_calls();
  std::atomic<bool> same{false};
  std::thread([&] { same = cpus_of(0) == all; }).join();
  if (!same) return 4;
  make_many_calls();
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(static_cast<unsigned>(sched_getcpu()), &own);
  if (sched_setaffinity(0, sizeof(own), &own) != 0) return 5;
  make_many_calls();
  return cpus_of(0) == 1 ? 0 : 6;
}

TEST_P(CaptureTest, ABusyCallerMayRunWhereItMightBefore) {
  const int all = cpus_of(0);
  if (all < 2) GTEST_SKIP() << "one processor: there is nothing to bind to";
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const shared = new (memory) Shared;
  std::atomic<bool> over{false};
  const bool expects_it = !bpf();
  std::thread observer([&] {
    shared->looking = true;
    while (!over)
      if (const pid_t caller = shared->caller; caller > 0 && cpus_of(caller) == 1)
        shared->seen_bound = true;
  });
  const Recording result =
      run([shared, all, expects_it] { return call_and_look(*shared, all, expects_it); });
  over = true;
  observer.join();
  const bool seen_bound = shared->seen_bound;
  munmap(memory, sizeof(Shared));
  EXPECT_EQ(WEXITSTATUS(result.status), 0);
  // That it was bound for all that: what is looked at is there to be seen.
  EXPECT_EQ(seen_bound, expects_it);
}

}  // namespace
}  // namespace gyges::recorder
