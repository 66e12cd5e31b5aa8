#include "sandbox/recorder/format/event_filter.h"

#include <gtest/gtest.h>

#include "call.h"
#include "sandbox/recorder/format/trace_statistics.h"

namespace gyges::recorder {
namespace {

using testing::Call;

bool takes(const EventFilter& filter, Call call) {
  PathResolver resolver;
  std::vector<ResolvedPath> paths = resolver.paths_of(call.built());
  return filter.takes(call.built(), paths);
}

TEST(EventFilter, EmptyTakesEverything) {
  EXPECT_TRUE(takes({}, Call("getpid", {}, 1)));
  EXPECT_TRUE(EventFilter{}.takes(Event{}, {}));
}

TEST(EventFilter, BySyscallClassAndResult) {
  EventFilter filter;
  filter.syscalls = {"openat", "unlink"};
  EXPECT_TRUE(takes(filter, Call("unlink", {1}, 0)));
  EXPECT_FALSE(takes(filter, Call("getpid", {}, 1)));
  filter = {};
  filter.classes = {SyscallClass::network};
  EXPECT_TRUE(takes(filter, Call("connect", {3, 1, 16}, 0)));
  EXPECT_FALSE(takes(filter, Call("unlink", {1}, 0)));
  Event exec;
  exec.kind = EventKind::process_exec;
  EXPECT_FALSE(filter.takes(exec, {}));
  filter.classes = {SyscallClass::process};
  EXPECT_TRUE(filter.takes(exec, {}));
  filter = {};
  filter.failed = true;
  EXPECT_TRUE(takes(filter, Call("unlink", {1}, -2)));
  EXPECT_FALSE(takes(filter, Call("mmap", {}, 0x7fff00000000)));
  filter = {};
  filter.refused = true;
  Call refused("ptrace", {0, 1}, -1);
  EXPECT_FALSE(takes(filter, refused));
  refused.event().verdict = Verdict::refused;
  EXPECT_TRUE(filter.takes(refused.built(), {}));
}

TEST(EventFilter, ByProgramAlsoInChildrenAndAtTheEnd) {
  EventFilter filter;
  filter.program = "git";
  PathResolver resolver;
  auto takes_event = [&](const Event& event) {
    std::vector<ResolvedPath> paths = resolver.paths_of(event);
    return filter.takes(event, paths, resolver.program(event.pid));
  };
  EXPECT_FALSE(takes_event(Call("getpid", {}, 1).built()));
  const std::string image = testing::identity("/usr/bin/git");
  const Capture identity{
      result_argument, CaptureKind::file_identity, Provenance::kernel, false, 0, image};
  Event event;
  event.pid = event.tid = 100;
  event.kind = EventKind::process_exec;
  event.captures = {&identity, 1};
  EXPECT_TRUE(takes_event(event));
  EXPECT_TRUE(takes_event(Call("getpid", {}, 1).built()));
  event.captures = {};
  event.kind = EventKind::process_start;
  event.result = 101;
  EXPECT_TRUE(takes_event(event));
  Call child("getpid", {}, 1);
  child.event().pid = 101;
  EXPECT_TRUE(takes_event(child.built()));
  filter.program = "/usr/bin/g*";
  EXPECT_TRUE(takes_event(child.built()));
  filter.program = "/bin/g*";
  EXPECT_FALSE(takes_event(child.built()));
  filter.program = "git";
  event.pid = event.tid = 101;
  event.kind = EventKind::process_exit;
  EXPECT_TRUE(takes_event(event));
  EXPECT_FALSE(takes_event(child.built()));  // a number that is used again
}

TEST(EventFilter, ByRacedPaths) {
  EventFilter filter;
  filter.raced = true;
  Call call("openat", {1}, 0);
  EXPECT_FALSE(takes(filter, call));
  call.event().kind = EventKind::path_disagreement;
  EXPECT_TRUE(takes(filter, call));
}

TEST(EventFilter, ByPathPidCallAndTime) {
  EventFilter filter;
  filter.path = "/var/log/**";
  Call call("unlink", {1}, 0);
  call.path(0, "/var/log/a/b.log");
  PathResolver resolver;
  std::vector<ResolvedPath> paths = resolver.paths_of(call.built());
  EXPECT_TRUE(filter.takes(call.built(), paths));
  filter.path = "*.log";
  EXPECT_TRUE(filter.takes(call.built(), paths));
  filter.path = "*.txt";
  EXPECT_FALSE(filter.takes(call.built(), paths));
  filter = {};
  call.event().inside_pid = 7;
  filter.pid = 7;
  EXPECT_TRUE(filter.takes(call.built(), {}));
  filter.pid = 100;
  EXPECT_TRUE(filter.takes(call.built(), {}));
  filter.pid = 8;
  EXPECT_FALSE(filter.takes(call.built(), {}));
  filter = {};
  filter.tool_call = 3;
  EXPECT_FALSE(filter.takes(call.built(), {}));
  call.event().origin_call = 3;
  EXPECT_TRUE(filter.takes(call.built(), {}));
  filter = {};
  call.event().time_ns = 500;
  filter.since_ns = 500;
  filter.until_ns = 500;
  EXPECT_TRUE(filter.takes(call.built(), {}));
  filter.since_ns = 501;
  EXPECT_FALSE(filter.takes(call.built(), {}));
}

TEST(EventFilter, NamesAreChecked) {
  EXPECT_TRUE(check_syscall_name("openat"));
  EXPECT_TRUE(check_syscall_name("socketcall"));
  EXPECT_TRUE(check_syscall_name("syscall_0x270f"));
  Status wrong = check_syscall_name("opennat");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().cure.find("openat"), std::string::npos);
  EXPECT_TRUE(parse_syscall_class("mutation"));
  EXPECT_FALSE(parse_syscall_class("files"));
}

TEST(TraceStatistics, CountsByCallToolAndProcess) {
  TraceStatistics statistics;
  for (int i = 0; i < 3; ++i) {
    Call call("unlink", {1}, i == 0 ? -1 : 0);
    call.event().origin_call = i == 2 ? 2 : 0;
    call.event().pid = call.event().tid = i == 2 ? 200 : 100;
    call.event().time_ns = 1000 + static_cast<std::uint64_t>(i) * 100;
    call.event().duration_ns = 10;
    if (i == 0) call.event().verdict = Verdict::refused;
    statistics.add(call.built());
  }
  EXPECT_EQ(statistics.total().calls, 3U);
  EXPECT_EQ(statistics.total().failed, 1U);
  EXPECT_EQ(statistics.total().refused, 1U);
  EXPECT_EQ(statistics.first_ns(), 1000U);
  EXPECT_EQ(statistics.last_ns(), 1210U);
  ASSERT_EQ(statistics.per_tool_call().size(), 2U);
  EXPECT_EQ(statistics.per_tool_call()[1].tool_call, 2U);
  EXPECT_EQ(statistics.per_process().size(), 2U);
  EXPECT_EQ(statistics.per_syscall()[0].first, "unlink");
}

}  // namespace
}  // namespace gyges::recorder
