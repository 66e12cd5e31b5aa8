// Attempts to get out of the record by doing more than it can take.
#include <sys/resource.h>

#include <cstdlib>
#include <map>
#include <set>

#include "attack_run.h"
#include "base/files.h"

namespace gyges::attacks {
namespace {

using recorder::Backend;
using recorder::Event;
using recorder::EventKind;

class Flood : public AttackTest {};

// The most memory that this process has had at a time, in KiB.
long resident_peak() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return used.ru_maxrss;
}

long pid_limit() {
  const Result<std::string> text = read_file("/proc/sys/kernel/pid_max");
  return text ? std::atol(text->c_str()) : 0;
}

INSTANTIATE_TEST_SUITE_P(Backends, Flood, testing::Values(Backend::ebpf, Backend::ptrace),
                         [](const auto& parameter) {
                           return std::string(recorder::backend_name(parameter.param));
                         });

// The program counts its own calls: the record must have exactly these.
TEST_P(Flood, FourProcessesAtOnce) {
  const Attempt inside = attempt({"flood", bpf() ? "1500" : "700"});
  ASSERT_EQ(inside.exit_code, 0);
  const long calls = inside.said("calls");
  EXPECT_GT(calls, bpf() ? 10000 : 1000);
  EXPECT_EQ(inside.said("signals"), 0);
  EXPECT_EQ(count_calls("getpgrp"), calls);
  std::printf("flood: %ld calls, %llu waits, 0 lost\n", calls,
              static_cast<unsigned long long>(inside.coverage.counters.waits));
}

// A12: callers from 64 threads at once; nothing is dropped, and the supervisor stays small.
TEST_P(Flood, SixtyFourThreads) {
  const std::string each = bpf() ? "5000" : "100";
  ASSERT_EQ(unguarded({"thread_flood", each}).said("calls"), 64 * std::atol(each.c_str()));
  const long before = resident_peak();
  const Attempt inside = attempt({"thread_flood", each});
  ASSERT_EQ(inside.exit_code, 0);
  EXPECT_EQ(count_calls("getpgrp"), inside.said("calls"));
  EXPECT_EQ(inside.said("calls"), 64 * std::atol(each.c_str()));
  EXPECT_LT(resident_peak() - before, 128 << 10);
}

// A13: numbers of processes come round again; every event belongs to the process that had the
// number at the time. A soak has 100,000 processes under ptrace too: numbers end at 32,768 here.
TEST_P(Flood, ManyShortProcesses) {
  const long processes = bpf() || std::getenv("GYGES_SOAK") != nullptr ? 100000 : 2000;
  const Attempt inside = attempt({"short_processes", std::to_string(processes)});
  ASSERT_EQ(inside.exit_code, 0);
  long started = 0;
  long ended = 0;
  long strays = 0;
  std::map<int, long> alive;  // by number: events since its start
  std::set<int> seen_before;  // numbers that had a process already
  long reused = 0;
  each_event([&](const Event& event) {
    if (event.kind == EventKind::process_start) {
      ++started;
      return;
    }
    ++alive[event.tid];
    if (event.kind != EventKind::process_exit) return;
    ++ended;
    // exit_group and the exit: neither less nor more, which would be a call of another process.
    strays += alive[event.tid] != 2;
    reused += !seen_before.insert(event.tid).second;
    alive.erase(event.tid);
  });
  EXPECT_EQ(strays, 1);  // the program itself
  EXPECT_TRUE(alive.empty());
  if (processes > 2 * pid_limit()) {
    EXPECT_GT(reused, 0);
  }
  EXPECT_EQ(started, processes);
  EXPECT_EQ(ended, processes + 1);
}

// A19
TEST_P(Flood, StandardOutput) {
  const bool soak = std::getenv("GYGES_SOAK") != nullptr;  // 10 GB
  const std::string bytes = soak ? "10000000000" : "200000000";
  const long before = resident_peak();
  const Attempt inside = command({"/bin/sh", "-c", "yes | head -c " + bytes});
  EXPECT_EQ(inside.exit_code, 0);
  EXPECT_LT(resident_peak() - before, 128 << 10);
  EXPECT_EQ(inside.output.size() >> 20U, 1U);  // the test keeps that much and reads the rest
  EXPECT_GT(count_calls("write"), 1000);
}

}  // namespace
}  // namespace gyges::attacks
