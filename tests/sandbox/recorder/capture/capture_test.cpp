// What both backends record of processes, threads, signals and refused calls.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <map>
#include <thread>

#include "capture_fixture.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

INSTANTIATE_TEST_SUITE_P(Backends, CaptureTest, both_backends, backend_of_test);

TEST_P(CaptureTest, ShellPipeline) {
  const Recording result = run(shell("echo hello | cat | tr a-z A-Z >/dev/null; exit 3"));
  EXPECT_EQ(WEXITSTATUS(result.status), 3);
  EXPECT_EQ(result.of_kind(EventKind::process_start).size(), 3U);
  EXPECT_EQ(result.of_kind(EventKind::process_exit).size(), 4U);
  ASSERT_EQ(result.of_kind(EventKind::process_exec).size(), 3U);
  const KeptEvent& exec = *result.of_kind(EventKind::process_exec)[1];
  EXPECT_NE(exec.named_file().find("/bin/"), std::string::npos) << exec.named_file();
  const auto execs = result.calls("execve");
  ASSERT_GE(execs.size(), 3U);
  EXPECT_EQ(execs[0]->capture(CaptureKind::path), "/bin/sh");
  EXPECT_EQ(execs[0]->capture(CaptureKind::argv).substr(0, 11), std::string("/bin/sh\0-c\0", 11));
  EXPECT_EQ(execs[0]->event.result, 0);
  bool wrote = false;
  for (const KeptEvent* call : result.calls("write"))
    wrote = wrote || call->capture(CaptureKind::buffer_in) == "hello\n";
  EXPECT_TRUE(wrote);
  bool was_read = false;
  for (const KeptEvent* call : result.calls("read"))
    was_read = was_read || call->capture(CaptureKind::buffer_out) == "hello\n";
  EXPECT_TRUE(was_read);
  // The last of each process.
  EXPECT_EQ(result.calls("exit_group").size(), 4U);
  for (const KeptEvent* call : result.calls("exit_group")) EXPECT_FALSE(call->event.has_exit);
}

// With ptrace, and on kernels before Linux 6.13, its operations are missing, and a record that
// lacks something is not complete.
TEST_P(CaptureTest, ARingOfIoUringIsNoGapThatIsKeptQuiet) {
  const auto make_ring = [] {
    std::array<char, 256> parameters{};
    const long ring = syscall(SYS_io_uring_setup, 4, parameters.data());
    return ring >= 0 ? 0 : 77;
  };
  const Recording used = record(*backend_, make_ring, 0);
  if (WEXITSTATUS(used.status) == 77) GTEST_SKIP() << "this kernel has no io_uring";
  ASSERT_EQ(used.status, 0);
  const auto says = [&](const char* words) {
    return std::any_of(
        used.coverage.degraded.begin(), used.coverage.degraded.end(),
        [&](const std::string& note) { return note.find(words) != std::string::npos; });
  };
  const bool seen = bpf() && !says("lacks the tracepoints for io_uring");
  EXPECT_EQ(used.coverage.complete, seen);
  EXPECT_EQ(says("io_uring was used"), !seen);
  if (bpf()) return;
  // Asked for in vain it is no gap, nor where the policy refuses it whatever a program makes of it.
  const Recording vain = run([] { return syscall(SYS_io_uring_setup, 0, nullptr) < 0 ? 0 : 1; });
  EXPECT_TRUE(vain.coverage.degraded.empty());
  const auto refusing = *open_ptrace_backend({.io_uring = false});
  EXPECT_TRUE(record(*refusing, make_ring, 0).coverage.complete);
}

TEST_P(CaptureTest, Threads) {
  const Recording result = run([] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([] {
        for (int j = 0; j < 100; ++j) syscall(SYS_getppid);
      });
    for (std::thread& thread : threads) thread.join();
    return 0;
  });
  EXPECT_EQ(result.calls("getppid").size(), 400U);
  std::map<int, int> by_thread;
  for (const KeptEvent* call : result.calls("getppid")) {
    ++by_thread[call->event.tid];
    EXPECT_EQ(call->event.pid, result.pid);
  }
  EXPECT_EQ(by_thread.size(), 4U);
}

// With ebpf entry and exit of these are one record, of other calls two.
TEST_P(CaptureTest, CallsThatAreAnsweredAtOnce) {
  const Recording result = run([] {
    const int file = open("/etc/passwd", O_RDONLY);
    struct stat about {};
    if (syscall(SYS_fstat, file, &about) != 0) return 1;
    syscall(SYS_lseek, file, 7, SEEK_SET);
    void* const page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 4096);
    syscall(SYS_munmap, page, 4096);
    syscall(SYS_getppid);
    close(file);
    close(file);
    return about.st_size > 0 ? 0 : 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto last = [&](const char* name) -> const KeptEvent& {
    return *result.calls(name).back();
  };
  const Event& seek = last("lseek").event;
  const std::uint64_t file = seek.args[0];
  EXPECT_EQ(seek.args[1], 7U);
  EXPECT_EQ(seek.args[2], std::uint64_t{SEEK_SET});
  EXPECT_EQ(seek.result, 7);
  EXPECT_EQ(last("fstat").event.args[0], file);
  EXPECT_EQ(last("fstat").capture(CaptureKind::structure_out).size(), sizeof(struct stat));
  const Event& map = last("mmap").event;
  EXPECT_EQ(map.args, (std::array<std::uint64_t, 6>{0, 4096, PROT_READ, MAP_PRIVATE, file, 4096}));
  EXPECT_EQ(last("munmap").event.args[0], static_cast<std::uint64_t>(map.result));
  EXPECT_EQ(last("getppid").event.result, getpid());
  const auto closes = result.calls("close");
  ASSERT_GE(closes.size(), 2U);
  EXPECT_EQ(closes[closes.size() - 2]->event.result, 0);
  EXPECT_EQ(closes.back()->event.result, -EBADF);
  EXPECT_EQ(closes.back()->event.args[0], file);
  // Each has both times, and began when the one before it was over.
  std::uint64_t before = 0;
  for (const char* const name : {"fstat", "lseek", "mmap", "munmap", "getppid", "close"}) {
    const Event& call = last(name).event;
    EXPECT_TRUE(call.has_enter && call.has_exit) << name;
    EXPECT_GT(call.duration_ns, 0U) << name;
    EXPECT_GE(call.time_ns, before) << name;
    before = call.time_ns + call.duration_ns;
  }
}

TEST_P(CaptureTest, VforkAndExecFromThread) {
  const Recording result = run([] {
    const pid_t child = vfork();
    if (child == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    std::thread([] { execl("/bin/echo", "echo", "-n", nullptr); }).join();
    return 1;
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 0);
  const auto execs = result.calls("execve");
  ASSERT_EQ(execs.size(), 2U);
  EXPECT_EQ(execs[0]->capture(CaptureKind::path), "/bin/true");
  EXPECT_EQ(execs[1]->capture(CaptureKind::path), "/bin/echo");
  EXPECT_EQ(execs[1]->event.result, 0);
  EXPECT_EQ(execs[1]->event.tid, result.pid);  // the thread took over the number of the leader
  EXPECT_EQ(result.of_kind(EventKind::process_exec).size(), 2U);
}

// The strings lie in pages that nobody touched before the kernel does, and are gone afterwards.
TEST_P(CaptureTest, ArgumentsOfAnImageByDescriptorOnPagesNeverTouched) {
  const std::string many(3000, 'z');
  const std::string strings = std::string("fake\0hello\0MARK=1\0\0", 20) + many;
  const Recording result = run([&strings] {
    const int file = memfd_create("strings", 0);
    if (write(file, strings.data(), strings.size() + 1) < 0) return 1;
    auto* const text = static_cast<char*>(
        mmap(nullptr, strings.size() + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0));
    char* argv[] = {text, text + 5, text + 20, nullptr};
    char* envp[] = {text + 11, nullptr};
    const int image = open("/bin/true", O_PATH);
    syscall(SYS_execveat, image, text + 18, argv, envp, AT_EMPTY_PATH);
    return 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("execveat").size(), 1U);
  const KeptEvent& call = *result.calls("execveat")[0];
  EXPECT_EQ(call.event.result, 0);
  EXPECT_EQ(call.capture(CaptureKind::path), "");
  EXPECT_EQ(call.capture(CaptureKind::argv), std::string("fake\0hello\0", 11) + many + '\0');
  EXPECT_EQ(call.capture(CaptureKind::envp), std::string("MARK=1\0", 7));
  for (const Capture& capture : call.event.captures) {
    if (capture.kind == CaptureKind::path) {
      EXPECT_EQ(capture.argument, 1);
    }
    if (capture.kind == CaptureKind::argv) {
      EXPECT_EQ(capture.argument, 2);
    }
    if (capture.kind == CaptureKind::envp) {
      EXPECT_EQ(capture.argument, 3);
    }
  }
}

int load_filter(std::uint32_t action, int call) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr || seccomp_rule_add(filter, action, call, 0) != 0) return -1;
  return seccomp_load(filter);
}

TEST_P(CaptureTest, CallsRefusedBySeccomp) {
  const Recording result = run([] {
    if (load_filter(SCMP_ACT_ERRNO(EPERM), SYS_mkdir) != 0) return 1;
    const std::string path = "/tmp/gyges_refused";  // on the stack: present when the call is made
    return mkdir(path.c_str(), 0700) == -1 && errno == EPERM ? 0 : 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("mkdir").size(), 1U);
  const KeptEvent& call = *result.calls("mkdir")[0];
  EXPECT_EQ(call.event.result, -EPERM);
  EXPECT_EQ(call.capture(CaptureKind::path), "/tmp/gyges_refused");
  EXPECT_EQ(call.event.verdict, Verdict::refused);
  EXPECT_EQ(call.event.has_enter, !bpf());  // a tracer sees it before seccomp does
}

TEST_P(CaptureTest, CallThatSeccompKillsFor) {
  const Recording result = run([] {
    if (load_filter(SCMP_ACT_KILL_PROCESS, SYS_mkdir) != 0) return 1;
    mkdir("/tmp/gyges_killed", 0700);
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(result.status));
  EXPECT_EQ(WTERMSIG(result.status), SIGSYS);
  ASSERT_EQ(result.calls("mkdir").size(), 1U);
  EXPECT_EQ(result.calls("mkdir")[0]->event.verdict, Verdict::killed);
  EXPECT_FALSE(result.calls("mkdir")[0]->event.has_exit);
}

TEST_P(CaptureTest, SignalsInTheMiddleOfCalls) {
  const Recording result = run([] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, nullptr);
    const pid_t self = getpid();
    const pid_t child = fork();
    if (child == 0) {
      for (int i = 0; i < 5; ++i) {
        usleep(20000);
        kill(self, SIGUSR1);
      }
      _exit(0);
    }
    int interrupted = 0;
    for (int i = 0; i < 5; ++i) interrupted += pause() == -1 && errno == EINTR;
    waitpid(child, nullptr, 0);
    return interrupted;
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 5);
  ASSERT_EQ(result.calls("pause").size(), 5U);
  EXPECT_EQ(result.calls("pause")[0]->event.result, -514);  // as the kernel has it
  EXPECT_EQ(result.calls("rt_sigreturn").size(), 5U);
  int delivered = 0;
  for (const KeptEvent* event : result.of_kind(EventKind::signal))
    delivered += event->event.args[0] == SIGUSR1;
  EXPECT_EQ(delivered, 5);
}

TEST_P(CaptureTest, StopAndContinue) {
  const Recording result = run([] {
    const pid_t child = fork();
    if (child == 0) {
      raise(SIGSTOP);
      _exit(7);
    }
    int status = 0;
    waitpid(child, &status, WUNTRACED);
    if (!WIFSTOPPED(status)) return 1;
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 7);
}

// Processes that call all the time do not keep older ones from calling.
TEST_P(CaptureTest, NobodyStarves) {
  constexpr int callers = 6;
  const Recording result = run([] {
    auto* calls = static_cast<std::atomic<long>*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    auto& stop = calls[callers];
    for (int i = 0; i < callers; ++i) {
      if (fork() != 0) continue;
      while (stop.load() == 0) {
        syscall(SYS_getppid);
        ++calls[i];
      }
      _exit(0);
    }
    usleep(700000);
    stop = 1;
    while (wait(nullptr) > 0) {
    }
    long least = calls[0];
    long most = calls[0];
    for (int i = 1; i < callers; ++i) {
      least = std::min(least, calls[i].load());
      most = std::max(most, calls[i].load());
    }
    return least > 0 && most < 100 * least ? 0 : 1;
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 0);
}

TEST_P(CaptureTest, ShortProcesses) {
#ifdef __SANITIZE_ADDRESS__
  constexpr int count = 200;  // a fork takes 20 ms
#else
  constexpr int count = 2000;
#endif
  const Recording result = run([] {
    for (int i = 0; i < count; ++i) {
      const pid_t child = fork();
      if (child == 0) _exit(0);
      waitpid(child, nullptr, 0);
    }
    return 0;
  });
  EXPECT_EQ(result.of_kind(EventKind::process_start).size(), count);
  EXPECT_EQ(result.of_kind(EventKind::process_exit).size(), count + 1);
  EXPECT_EQ(result.calls("exit_group").size(), count + 1);
}

// Two processes with the same number, one after the other, as the kernel is made to give it twice.
TEST_P(CaptureTest, NumbersThatComeRoundAgain) {
  if (geteuid() != 0) GTEST_SKIP() << "choosing the next process number needs root";
  const Recording result = run([] {
    for (int tries = 0; tries < 200; ++tries) {
      const pid_t first = fork();
      if (first == 0) {
        for (int i = 0; i < 3; ++i) syscall(SYS_getuid);
        _exit(0);
      }
      waitpid(first, nullptr, 0);
      const int next = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
      const std::string before = std::to_string(first - 1);
      if (write(next, before.data(), before.size()) < 0) return 1;
      close(next);
      const pid_t second = fork();
      if (second == 0) {
        if (getpid() != first) _exit(1);  // another process of this machine was faster
        for (int i = 0; i < 5; ++i) syscall(SYS_getgid);
        _exit(0);
      }
      int status = 0;
      waitpid(second, &status, 0);
      if (WEXITSTATUS(status) == 0) return 0;
    }
    return 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_FALSE(result.calls("getgid").empty());
  const std::int32_t number = result.calls("getgid")[0]->event.tid;
  std::vector<std::string> lives(1);
  for (const KeptEvent& kept : result.events) {
    if (kept.event.tid != number) continue;
    if (kept.event.kind == EventKind::process_exit) lives.emplace_back();
    if (kept.event.kind != EventKind::syscall) continue;
    const std::string name = syscall_name(kept.event.abi, kept.event.number);
    if (name == "set_robust_list" || name == "rseq") continue;  // of fork itself
#ifdef __SANITIZE_ADDRESS__
    if (name == "sigaltstack") continue;  // of the sanitizer, before exit
#endif
    lives.back() += name + " ";
  }
  ASSERT_EQ(lives.size(), 3U);
  EXPECT_EQ(lives[0], "getuid getuid getuid exit_group ");
  EXPECT_EQ(lives[1], "getpid getgid getgid getgid getgid getgid exit_group ");
  EXPECT_EQ(lives[2], "");
}

TEST_P(CaptureTest, CloneUntraced) {
  const Recording result = run([] {
    const long child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, nullptr, nullptr, nullptr, 0);
    if (child == 0) {
      for (int i = 0; i < 100; ++i) syscall(SYS_getppid);
      _exit(0);
    }
    int status = 0;
    waitpid(static_cast<pid_t>(child), &status, 0);
    return WEXITSTATUS(status);
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(result.calls("getppid").size(), 100U);
}

TEST_P(CaptureTest, DaemonKeepsItsToolCall) {
  const Recording result = run(
      [] {
        if (fork() == 0) {
          setsid();
          if (fork() == 0) {
            usleep(50000);
            syscall(SYS_getppid);
          }
          _exit(0);
        }
        return 0;
      },
      42);
  ASSERT_EQ(result.calls("getppid").size(), 1U);
  EXPECT_EQ(result.calls("getppid")[0]->event.origin_call, 42U);
  EXPECT_EQ(result.calls("getppid")[0]->event.active_call, 42U);
  EXPECT_NE(result.calls("getppid")[0]->event.pid, result.pid);
}

TEST_P(CaptureTest, TwoSessionsDoNotMix) {
  const auto loop = [](int call) {
    return [call] {
      for (int i = 0; i < 2000; ++i) syscall(call);
      return 0;
    };
  };
  auto first_events = std::make_shared<Events>();
  auto second_events = std::make_shared<Events>();
  auto first = backend_->start_with(std::make_unique<KeepingSink>(first_events), {});
  auto second = backend_->start_with(std::make_unique<KeepingSink>(second_events), {});
  ASSERT_TRUE(first && second);
  GatedChild first_child(loop(SYS_getppid));
  GatedChild second_child(loop(SYS_getpgrp));
  ASSERT_TRUE((*first)->adopt(first_child.pidfd(), first_child.pid(), 0));
  ASSERT_TRUE((*second)->adopt(second_child.pidfd(), second_child.pid(), 0));
  first_child.open_gate();
  second_child.open_gate();
  first_child.wait();
  second_child.wait();
  Recording one;
  Recording two;
  one.coverage = *(*first)->close();
  two.coverage = *(*second)->close();
  one.events = *first_events;
  two.events = *second_events;
  EXPECT_EQ(one.calls("getppid").size(), 2000U);
  EXPECT_EQ(one.calls("getpgrp").size(), 0U);
  EXPECT_EQ(two.calls("getppid").size(), 0U);
  EXPECT_EQ(two.calls("getpgrp").size(), 2000U);
  EXPECT_TRUE(one.coverage.complete);
  EXPECT_TRUE(two.coverage.complete);
}

}  // namespace
}  // namespace gyges::recorder
