// The recorder as its users have it: choice of backend, trace files, refusals, back-pressure.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "recorded_run.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::recorder {
namespace {

class RecorderTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/gyges_recorder_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void record_to_file(Backend backend) {
    auto recorder = Recorder::open(backend, {});
    ASSERT_TRUE(recorder) << recorder.error().line();
    EXPECT_EQ((*recorder)->backend(), backend);
    SessionOptions options;
    options.trace_file = directory_ / "trace.gyt";
    auto session = (*recorder)->start(options);
    ASSERT_TRUE(session) << session.error().line();
    GatedChild child(shell("echo recorded > /dev/null"));
    ASSERT_TRUE((*session)->tool_call_started(7, "bash"));
    const Status adopted = (*session)->adopt(child.pidfd(), child.pid(), 7);
    ASSERT_TRUE(adopted) << adopted.error().line();
    child.open_gate();
    EXPECT_EQ(child.wait(), 0);
    ASSERT_TRUE((*session)->tool_call_ended(7));
    const Result<Coverage> coverage = (*session)->close();
    ASSERT_TRUE(coverage) << coverage.error().line();
    EXPECT_TRUE(coverage->complete);
    EXPECT_GT(coverage->syscalls, 10U);
    EXPECT_FALSE(coverage->not_observable.empty());
    EXPECT_FALSE((*session)->close());  // closed already

    auto reader = TraceReader::open(options.trace_file);
    ASSERT_TRUE(reader) << reader.error().line();
    EXPECT_EQ(reader->backend(), backend);
    std::uint64_t calls = 0;
    bool wrote = false;
    std::vector<EventKind> marks;
    ASSERT_TRUE(reader->for_each([&](const Event& event) {
      if (event.kind == EventKind::tool_call_start || event.kind == EventKind::tool_call_end)
        marks.push_back(event.kind);
      if (event.kind != EventKind::syscall) return true;
      ++calls;
      EXPECT_EQ(event.origin_call, 7U);
      if (syscall_name(event.abi, event.number) == "write")
        for (const Capture& capture : event.captures) wrote |= capture.bytes == "recorded\n";
      return true;
    }));
    EXPECT_EQ(calls, coverage->syscalls);
    EXPECT_TRUE(wrote);
    EXPECT_EQ(marks, (std::vector{EventKind::tool_call_start, EventKind::tool_call_end}));
  }

  std::filesystem::path directory_;
};

TEST_F(RecorderTest, WritesATraceByBpf) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  record_to_file(Backend::ebpf);
}

TEST_F(RecorderTest, WritesATraceByPtrace) {
  record_to_file(Backend::ptrace);
}

TEST_F(RecorderTest, RefusesWrongOptions) {
  const auto recorder = Recorder::open(Backend::ptrace, {.ring_bytes = 100000});
  ASSERT_FALSE(recorder);
  EXPECT_EQ(recorder.error().object, "ring_bytes");
  auto right = Recorder::open(Backend::ptrace, {});
  ASSERT_TRUE(right);
  SessionOptions options;
  options.trace_file = directory_ / "trace.gyt";
  options.buffer_bytes = 256;
  EXPECT_FALSE((*right)->start(options));
  EXPECT_FALSE(std::filesystem::exists(options.trace_file));
}

// What an ordinary user gets: a clear refusal of the explicit choice, ptrace without one.
TEST_F(RecorderTest, OrdinaryUser) {
  if (geteuid() != 0) GTEST_SKIP() << "changes the user, which needs root";
  std::filesystem::permissions(directory_, std::filesystem::perms::all);
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(54321, 54321, 54321) != 0 || setresuid(54321, 54321, 54321) != 0) _exit(1);
    prctl(PR_SET_DUMPABLE, 1);  // cleared by the change of the user; a login shell has it
    const auto chosen = Recorder::open(Backend::ebpf, {});
    if (chosen || chosen.error().cure.empty()) _exit(2);
    const auto automatic = Recorder::open(std::nullopt, {});
    if (!automatic || (*automatic)->backend() != Backend::ptrace) _exit(3);
    record_to_file(Backend::ptrace);
    _exit(HasFailure() ? 4 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "exit status " << WEXITSTATUS(status);
}

// Nothing may run on unrecorded when the supervisor is killed.
TEST_F(RecorderTest, TraceesDieWithTheirSupervisor) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  Pipe report = *make_pipe();
  const pid_t supervisor = fork();
  if (supervisor == 0) {
    auto recorder = Recorder::open(Backend::ptrace, {});
    SessionOptions options;
    options.trace_file = directory_ / "trace.gyt";
    auto session = (*recorder)->start(options);
    GatedChild child([] {
      for (;;) pause();
      return 0;
    });
    if (!session || !(*session)->adopt(child.pidfd(), child.pid(), 0)) _exit(1);
    child.open_gate();
    const pid_t pid = child.pid();
    if (write(report.write.get(), &pid, sizeof(pid)) != sizeof(pid)) _exit(2);
    for (;;) pause();
  }
  pid_t traced = 0;
  ASSERT_EQ(read(report.read.get(), &traced, sizeof(traced)), ssize_t{sizeof(traced)});
  kill(supervisor, SIGKILL);
  ASSERT_EQ(waitpid(supervisor, nullptr, 0), supervisor);
  int status = 0;
  alarm(10);  // a tracee that lives on must not hang the test
  ASSERT_EQ(waitpid(traced, &status, 0), traced);
  alarm(0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  reap_everything();
}

TEST_F(RecorderTest, FacilitiesAreNamedAndExplained) {
  const std::vector<Facility> facilities = probe_facilities();
  ASSERT_EQ(facilities.size(), 4U);
  for (const Facility& facility : facilities) {
    EXPECT_FALSE(facility.reason.empty()) << facility.name;
    EXPECT_EQ(facility.available, facility.cure.empty()) << facility.name;
  }
}

class FloodTest : public RecorderTest, public testing::WithParamInterface<Waiting> {
 protected:
  void flood(std::uint64_t& waits);
};

INSTANTIATE_TEST_SUITE_P(Waits, FloodTest, testing::Values(Waiting::best, Waiting::spin),
                         [](const auto& parameter) {
                           return parameter.param == Waiting::best ? "best" : "spin";
                         });

// Four processes call as fast as they can for a second into the smallest rings.
// `waits`: those in the trace.
void FloodTest::flood(std::uint64_t& waits) {
  waits = 0;
  std::filesystem::remove(directory_ / "trace.gyt");
  auto recorder = open_bpf_backend({.ring_bytes = 64U << 10U}, GetParam());
  ASSERT_TRUE(recorder) << recorder.error().line();
  SessionOptions options;
  options.trace_file = directory_ / "trace.gyt";
  auto session = (*recorder)->start(options);
  ASSERT_TRUE(session) << session.error().line();
  GatedChild child([] {
    for (int i = 0; i < 4; ++i) {
      if (fork() != 0) continue;
      alarm(1);
      for (;;) {
        syscall(SYS_getppid);
        close(open("/dev/null", O_RDONLY));
      }
    }
    for (int i = 0; i < 4; ++i) wait(nullptr);
    return 0;
  });
  ASSERT_TRUE((*session)->adopt(child.pidfd(), child.pid(), 0));
  child.open_gate();
  EXPECT_EQ(child.wait(), 0);
  const Result<Coverage> coverage = (*session)->close();
  ASSERT_TRUE(coverage) << coverage.error().line();
  EXPECT_EQ(coverage->counters.lost, 0U);
  EXPECT_TRUE(coverage->complete);
  EXPECT_GT(coverage->syscalls, 1000U);
  auto reader = TraceReader::open(options.trace_file);
  ASSERT_TRUE(reader);
  ASSERT_TRUE(reader->for_each([&](const Event& event) {
    waits += event.kind == EventKind::recorder_wait;
    return true;
  }));
  EXPECT_EQ(waits > 0, coverage->counters.waits > 0);
  std::printf("flood: %llu calls, %llu waits\n",
              static_cast<unsigned long long>(coverage->syscalls),
              static_cast<unsigned long long>(coverage->counters.waits));
}

TEST_P(FloodTest, WaitsInsteadOfLosing) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  // On a busy machine the flood may get too little of the processors to outrun its reader.
  std::uint64_t waits = 0;
  for (int attempt = 0; attempt < 10 && waits == 0 && !HasFailure(); ++attempt)
    ASSERT_NO_FATAL_FAILURE(flood(waits));
  EXPECT_GT(waits, 0U);
}

}  // namespace
}  // namespace gyges::recorder
