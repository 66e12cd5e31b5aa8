// When a process ends: with the last of its threads, whichever that is.
#include "sandbox/recorder/format/process_ends.h"

#include <gtest/gtest.h>
#include <sched.h>

#include "sandbox/recorder/format/trace_statistics.h"

namespace gyges::recorder {
namespace {

Event life(EventKind kind, std::int32_t pid, std::int32_t tid) {
  Event event;
  event.kind = kind;
  event.pid = pid;
  event.tid = tid;
  return event;
}

Event started(std::int32_t parent, std::int32_t child, std::uint64_t flags) {
  Event event = life(EventKind::process_start, parent, parent);
  event.args[0] = flags;
  event.result = child;
  return event;
}

Event ended(std::int32_t pid, std::int32_t tid) {
  return life(EventKind::process_exit, pid, tid);
}

TEST(ProcessEnds, ByItsOnlyThread) {
  ProcessEnds processes;
  EXPECT_FALSE(processes.ends(started(100, 200, 0)));
  EXPECT_FALSE(processes.ends(life(EventKind::syscall, 200, 200)));
  EXPECT_TRUE(processes.ends(ended(200, 200)));
  EXPECT_TRUE(processes.ends(ended(100, 100)));
}

TEST(ProcessEnds, ByItsLastThread) {
  ProcessEnds processes;
  processes.ends(started(100, 101, CLONE_THREAD));
  processes.ends(started(100, 102, CLONE_THREAD));
  EXPECT_FALSE(processes.ends(ended(100, 101)));
  EXPECT_FALSE(processes.ends(ended(100, 100)));
  EXPECT_TRUE(processes.ends(ended(100, 102)));
  // The usual order.
  processes.ends(started(300, 301, CLONE_THREAD));
  EXPECT_FALSE(processes.ends(ended(300, 301)));
  EXPECT_TRUE(processes.ends(ended(300, 300)));
}

// Its other threads end, the first one among them, and it takes the first one's number.
TEST(ProcessEnds, NotByAThreadThatExecutes) {
  ProcessEnds processes;
  processes.ends(started(100, 101, CLONE_THREAD));
  processes.ends(started(100, 102, CLONE_THREAD));
  EXPECT_FALSE(processes.ends(ended(100, 102)));
  EXPECT_FALSE(processes.ends(ended(100, 100)));
  EXPECT_FALSE(processes.ends(life(EventKind::process_exec, 100, 100)));
  EXPECT_TRUE(processes.ends(ended(100, 100)));
}

TEST(ProcessEnds, ANumberThatComesAgainIsAnotherProcess) {
  ProcessEnds processes;
  // The end of 101 is missing.
  processes.ends(started(100, 101, CLONE_THREAD));
  EXPECT_FALSE(processes.ends(ended(100, 100)));
  processes.ends(started(50, 100, 0));
  EXPECT_TRUE(processes.ends(ended(100, 100)));
}

TEST(ProcessEnds, AProcessIsCountedOnceIfAThreadExecutes) {
  TraceStatistics statistics;
  statistics.add(life(EventKind::syscall, 100, 100));
  statistics.add(started(100, 101, CLONE_THREAD));
  statistics.add(ended(100, 100));
  statistics.add(life(EventKind::process_exec, 100, 100));
  statistics.add(life(EventKind::syscall, 100, 100));
  EXPECT_EQ(statistics.per_process().size(), 1U);
  statistics.add(ended(100, 100));
  statistics.add(life(EventKind::syscall, 100, 100));
  EXPECT_EQ(statistics.per_process().size(), 2U);
}

}  // namespace
}  // namespace gyges::recorder
