// The recorder in trouble: stopped, dead, out of disk. Nothing is lost in silence, nothing runs on
// unrecorded, nothing hangs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "recorded_run.h"

namespace gyges::recorder {
namespace {

using Clock = std::chrono::steady_clock;

// Counts and forgets.
class CountingSink final : public EventSink {
 public:
  Status append(const Event&) override { return ok(); }
  Status finish(Coverage&) override { return ok(); }
};

// Fails from the tenth event on, as a full disk does.
class FullSink final : public EventSink {
 public:
  Status append(const Event&) override {
    if (++events_ < 10) return ok();
    return fail("write trace", "the test", "No space left on device");
  }
  Status finish(Coverage&) override { return ok(); }

 private:
  int events_ = 0;
};

#ifdef __SANITIZE_ADDRESS__
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

// Ends the thread that reads the rings, as no correct program does.
class DeadlySink final : public EventSink {
 public:
  explicit DeadlySink(pid_t innocent) : innocent_(innocent) {}
  Status append(const Event&) override {
    const auto self = static_cast<pid_t>(syscall(SYS_gettid));
    if (self != innocent_) syscall(SYS_exit, 0);
    return ok();
  }
  Status finish(Coverage&) override { return ok(); }

 private:
  pid_t innocent_;
};

int call_for_ever() {
  for (;;) syscall(SYS_getppid);
}

// What a flood notices of its recorder; lives in memory that both share.
struct Noticed {
  std::uint64_t calls;
  int interrupted;     // calls that ended with EINTR
  int signals;         // that any of the processes was sent
  int status_changes;  // stops and continuations of children that waitid reported
};

// Four processes call for `seconds`, watched by a fifth that blocks in calls which a signal or a
// freezer would interrupt.
int flood_and_notice(Noticed& noticed, int seconds) {
  static volatile sig_atomic_t handled = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { handled = handled + 1; };
  for (int signal = 1; signal < NSIG; ++signal)
    if (signal != SIGCHLD) sigaction(signal, &action, nullptr);
  pid_t children[4];
  std::uint64_t* counts = static_cast<std::uint64_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const Clock::time_point end = Clock::now() + std::chrono::seconds(seconds);
  for (int i = 0; i < 4; ++i) {
    children[i] = fork();
    if (children[i] != 0) continue;
    std::uint64_t calls = 0;
    while (Clock::now() < end) {
      for (int j = 0; j < 100; ++j) syscall(SYS_getppid);
      calls += 100;
    }
    counts[i * 8] = calls;
    counts[i * 8 + 1] = static_cast<std::uint64_t>(handled);
    _exit(0);
  }
  while (Clock::now() < end) {
    if (poll(nullptr, 0, 20) < 0 && errno == EINTR) ++noticed.interrupted;
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WSTOPPED | WCONTINUED | WNOHANG) == 0 && info.si_pid != 0)
      ++noticed.status_changes;
  }
  for (const pid_t child : children)
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) ++noticed.interrupted;
  noticed.signals = handled;
  for (int i = 0; i < 4; ++i) {
    noticed.calls += counts[i * 8];
    noticed.signals += static_cast<int>(counts[i * 8 + 1]);
  }
  return 0;
}

class FailClosed : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == Backend::ebpf && geteuid() != 0) GTEST_SKIP() << "BPF needs root";
    prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  void TearDown() override { reap_everything(); }

  static Result<std::unique_ptr<CaptureBackend>> open() {
    return GetParam() == Backend::ebpf ? open_bpf_backend({.ring_bytes = 1U << 20U})
                                       : open_ptrace_backend({});
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, FailClosed, testing::Values(Backend::ebpf, Backend::ptrace),
                         [](const auto& parameter) {
                           return std::string(backend_name(parameter.param));
                         });

// The whole recorder is stopped for three seconds in the middle of a flood.
TEST(StoppedRecorder, LosesNothingAndIsNotNoticed) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  auto* noticed = static_cast<Noticed*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  Pipe told = *make_pipe();
  const pid_t supervisor = fork();
  if (supervisor == 0) {
    auto backend = open_bpf_backend({.ring_bytes = 1U << 20U});
    if (!backend) _exit(1);
    auto session = (*backend)->start_with(std::make_unique<CountingSink>(), {});
    GatedChild child([noticed] { return flood_and_notice(*noticed, 5); });
    if (!session || !(*session)->adopt(child.pidfd(), child.pid(), 0)) _exit(2);
    child.open_gate();
    if (write(told.write.get(), "g", 1) != 1) _exit(3);
    if (child.wait() != 0) _exit(4);
    const auto coverage = (*session)->close();
    if (!coverage) _exit(5);
    const Counters& counters = coverage->counters;
    std::printf("stopped for 3 s: %llu calls recorded, %llu waits, %llu lost\n",
                static_cast<unsigned long long>(counters.recorded_enters),
                static_cast<unsigned long long>(counters.waits),
                static_cast<unsigned long long>(counters.lost));
    std::fflush(stdout);
    if (counters.lost != 0 || !coverage->complete) _exit(6);
    _exit(counters.waits > 0 && counters.recorded_enters >= noticed->calls ? 0 : 7);
  }
  char go = 0;
  ASSERT_EQ(read(told.read.get(), &go, 1), 1);
  usleep(500000);
  kill(supervisor, SIGSTOP);
  usleep(3000000);
  kill(supervisor, SIGCONT);
  int status = 0;
  ASSERT_EQ(waitpid(supervisor, &status, 0), supervisor);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(WTERMSIG(status), 0);
  EXPECT_GT(noticed->calls, 10000U);
  EXPECT_EQ(noticed->interrupted, 0);
  EXPECT_EQ(noticed->signals, 0);
  EXPECT_EQ(noticed->status_changes, 0);
  munmap(noticed, 4096);
  reap_everything();
}

// What calls is killed once nobody reads; the session says so instead of waiting for ever.
TEST(DeadReader, EndsWhatItRecorded) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  if (sanitized)
    GTEST_SKIP()
        << "a thread that ends behind the C library's back breaks the sanitizer's next one";
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  auto backend = open_bpf_backend({.ring_bytes = 64U << 10U});
  ASSERT_TRUE(backend) << backend.error().line();
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  auto session = (*backend)->start_with(std::make_unique<DeadlySink>(self), {});
  ASSERT_TRUE(session);
  GatedChild child(call_for_ever);
  ASSERT_TRUE((*session)->adopt(child.pidfd(), child.pid(), 0));
  child.open_gate();
  const Clock::time_point start = Clock::now();
  const int status = child.wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
  const auto coverage = (*session)->close();
  ASSERT_FALSE(coverage);
  EXPECT_EQ(coverage.error().object, "reader of the rings");
}

// The tracing process as the host sees it; 0 when the process has none.
pid_t tracer_of(pid_t pid) {
  const Result<std::string> status = read_file("/proc/" + std::to_string(pid) + "/status");
  const std::size_t at = status ? status->find("TracerPid:") : std::string::npos;
  return at == std::string::npos ? 0 : std::atoi(status->c_str() + at + 10);
}

// Records a child that calls for ever, kills the tracer and says (as an exit status) what came of
// it.
int life_of_a_dead_tracer(unsigned microseconds) {
  auto backend = open_ptrace_backend({});
  auto session = (*backend)->start_with(std::make_unique<CountingSink>(), {});
  GatedChild child([] {
    if (fork() == 0) return call_for_ever();
    return call_for_ever();
  });
  if (!(*session)->adopt(child.pidfd(), child.pid(), 0)) return 1;
  child.open_gate();
  usleep(microseconds);
  const pid_t tracer = tracer_of(child.pid());
  if (tracer <= 1 || tracer == getpid() || kill(tracer, SIGKILL) != 0) return 2;
  const int status = child.wait();
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) return 3;
  const auto coverage = (*session)->close();
  if (coverage || coverage.error().object != "tracer") return 4;
  GatedChild next([] { return 0; });
  return (*session)->adopt(next.pidfd(), next.pid(), 0) ? 5 : 0;
}

// A tracer that is killed at any point of its work takes what it traced along. Outside the
// session's lock the session says so; inside, its process does and ends, for the heap may be locked
// for ever.
TEST(DeadTracer, EndsWhatItRecorded) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (unsigned round = 0; round < 8; ++round) {
    Pipe said = *make_pipe();
    const pid_t supervisor = fork();
    if (supervisor == 0) {
      dup2(said.write.get(), STDERR_FILENO);
      _exit(life_of_a_dead_tracer(20000 + 1371 * round));
    }
    said.write.reset();
    int status = 0;
    ASSERT_EQ(waitpid(supervisor, &status, 0), supervisor);
    ASSERT_TRUE(WIFEXITED(status));
    char text[512];
    const ssize_t length = read(said.read.get(), text, sizeof(text));
    if (WEXITSTATUS(status) == 125)
      EXPECT_THAT(std::string(text, static_cast<std::size_t>(std::max<ssize_t>(length, 0))),
                  ::testing::HasSubstr("the tracing process was killed"));
    else
      EXPECT_EQ(WEXITSTATUS(status), 0);
  }
  reap_everything();  // the grandchildren are gone too
}

TEST_P(FailClosed, AFullDiskEndsTheSandbox) {
  auto backend = open();
  ASSERT_TRUE(backend) << backend.error().line();
  auto session = (*backend)->start_with(std::make_unique<FullSink>(), {});
  ASSERT_TRUE(session);
  Pipe report = *make_pipe();
  GatedChild child([&report] {
    report.read.reset();
    if (fork() == 0) {  // a child that calls now and then
      setsid();
      for (;;) usleep(1000);
    }
    if (fork() == 0) return call_for_ever();
    for (;;) pause();
  });
  report.write.reset();
  ASSERT_TRUE((*session)->adopt(child.pidfd(), child.pid(), 0));
  child.open_gate();
  const int status = child.wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  // The pipe closes when the last of them has gone.
  pollfd closed{report.read.get(), POLLIN, 0};
  EXPECT_EQ(poll(&closed, 1, 5000), 1);
  GatedChild next([] { return 0; });
  const Status adopted = (*session)->adopt(next.pidfd(), next.pid(), 0);
  EXPECT_FALSE(adopted);
  const auto coverage = (*session)->close();
  ASSERT_FALSE(coverage);
  EXPECT_EQ(coverage.error().reason, "No space left on device");
}

// A real trace file on a real full disk.
TEST_P(FailClosed, ATraceOnAFullFilesystem) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  const pid_t alone = fork();  // in a mount namespace of its own
  if (alone == 0) {
    auto directory = TemporaryDirectory::create("gyges_full_");
    if (!directory || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", directory->path().c_str(), "tmpfs", 0, "size=256k") != 0)
      _exit(1);
    auto backend = open();
    if (!backend) _exit(2);
    SessionOptions options;
    options.trace_file = directory->path() / "trace.gyt";
    auto session = (*backend)->start(options);
    if (!session) _exit(3);
    GatedChild child([] {
      const int random = ::open("/dev/urandom", O_RDONLY);
      char bytes[64];
      for (;;)
        if (read(random, bytes, sizeof(bytes)) < 0) return 1;
    });
    if (!(*session)->adopt(child.pidfd(), child.pid(), 0)) _exit(4);
    child.open_gate();
    const int status = child.wait();
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) _exit(5);
    const auto coverage = (*session)->close();
    if (coverage) _exit(6);
    umount2(directory->path().c_str(), MNT_DETACH);
    const bool says_so = coverage.error().line().find("No space left") != std::string::npos;
    directory = fail("", "", "");  // removes the directory: _exit runs no destructors
    _exit(says_so ? 0 : 7);
  }
  int status = 0;
  ASSERT_EQ(waitpid(alone, &status, 0), alone);
  EXPECT_EQ(status, 0) << "exit status " << WEXITSTATUS(status);
}

// Counts starts and ends of processes.
class LifeSink final : public EventSink {
 public:
  struct Lives {
    std::uint64_t starts = 0;
    std::uint64_t ends = 0;
  };
  explicit LifeSink(std::shared_ptr<Lives> lives) : lives_(std::move(lives)) {}
  Status append(const Event& event) override {
    lives_->starts += event.kind == EventKind::process_start ? 1 : 0;
    lives_->ends += event.kind == EventKind::process_exit ? 1 : 0;
    return ok();
  }
  Status finish(Coverage&) override { return ok(); }

 private:
  std::shared_ptr<Lives> lives_;
};

// Each of many short lives has its start and its end. 100,000 of them with GYGES_LONG_TESTS set.
TEST(ShortProcesses, AreAllThere) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  // A fork of a sanitized process takes 20 ms.
  const unsigned lives =
      std::getenv("GYGES_LONG_TESTS") != nullptr ? 100000 : (sanitized ? 300 : 5000);
  auto backend = open_bpf_backend({.ring_bytes = 256U << 10U});
  ASSERT_TRUE(backend) << backend.error().line();
  auto counted = std::make_shared<LifeSink::Lives>();
  auto session = (*backend)->start_with(std::make_unique<LifeSink>(counted), {});
  ASSERT_TRUE(session);
  GatedChild child([lives] {
    for (unsigned i = 0; i < lives; ++i) {
      const pid_t short_lived = fork();
      if (short_lived == 0) _exit(0);
      if (short_lived < 0 || waitpid(short_lived, nullptr, 0) != short_lived) return 1;
    }
    return 0;
  });
  ASSERT_TRUE((*session)->adopt(child.pidfd(), child.pid(), 0));
  child.open_gate();
  EXPECT_EQ(child.wait(), 0);
  const auto coverage = (*session)->close();
  ASSERT_TRUE(coverage);
  EXPECT_TRUE(coverage->complete);
  EXPECT_EQ(coverage->counters.lost, 0U);
  EXPECT_EQ(counted->starts, lives);
  EXPECT_EQ(counted->ends, lives + 1U);
}

// A ring smaller than the largest event is refused; the smallest one takes it.
TEST(SmallestRing, TakesTheLargestEvent) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  EXPECT_FALSE(Recorder::open(Backend::ebpf, {.ring_bytes = 32U << 10U}));
  static_assert(wire::record_limit <= 32U << 10U);
  auto backend = open_bpf_backend({.ring_bytes = 64U << 10U});
  ASSERT_TRUE(backend) << backend.error().line();
  const Recording result = record(**backend, [] {
    std::string deep(4000, 'x');
    std::vector<std::string> arguments(200, std::string(4000, 'y'));
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    for (int i = 0; i < 200; ++i) execve(deep.c_str(), argv.data(), argv.data());
    return 0;
  });
  EXPECT_TRUE(result.coverage.complete);
  EXPECT_EQ(result.coverage.counters.lost, 0U);
  ASSERT_EQ(result.calls("execve").size(), 200U);
  EXPECT_EQ(result.calls("execve")[0]->capture(CaptureKind::path).size(), 4000U);
  EXPECT_GT(result.calls("execve")[0]->capture(CaptureKind::argv).size(), 8000U);
}

}  // namespace
}  // namespace gyges::recorder
