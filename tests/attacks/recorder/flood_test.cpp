// Attempts to get out of the record by doing more than it can take.
#include "attack_run.h"

namespace gyges::attacks {
namespace {

using recorder::Backend;
using recorder::Event;
using recorder::EventKind;

class Flood : public AttackTest {};

INSTANTIATE_TEST_SUITE_P(Backends, Flood, testing::Values(Backend::ebpf, Backend::ptrace),
                         [](const auto& parameter) {
                           return std::string(recorder::backend_name(parameter.param));
                         });

// The program counts its own calls: the record must have exactly these.
TEST_P(Flood, FourProcessesAtOnce) {
  const Attempt inside = attempt({"flood", bpf() ? "1500" : "700"});
  ASSERT_EQ(inside.exit_code, 0);
  const long calls = inside.said("calls");
  EXPECT_GT(calls, 10000);
  EXPECT_EQ(inside.said("signals"), 0);
  EXPECT_EQ(count_calls("getpgrp"), calls);
  std::printf("flood: %ld calls, %llu waits, 0 lost\n", calls,
              static_cast<unsigned long long>(inside.coverage.counters.waits));
}

TEST_P(Flood, ManyShortProcesses) {
  const long processes = bpf() ? 100000 : 2000;
  const Attempt inside = attempt({"short_processes", std::to_string(processes)});
  ASSERT_EQ(inside.exit_code, 0);
  long started = 0;
  long ended = 0;
  each_event([&](const Event& event) {
    started += event.kind == EventKind::process_start;
    ended += event.kind == EventKind::process_exit;
  });
  EXPECT_EQ(started, processes);
  EXPECT_EQ(ended, processes + 1);
}

// A19
TEST_P(Flood, StandardOutput) {
  const Attempt inside = command({"/bin/sh", "-c", "yes | head -c 200000000"});
  EXPECT_EQ(inside.exit_code, 0);
  EXPECT_EQ(inside.output.size() >> 20U, 1U);  // the test keeps that much and reads the rest
  EXPECT_GT(count_calls("write"), 1000);
}

}  // namespace
}  // namespace gyges::attacks
