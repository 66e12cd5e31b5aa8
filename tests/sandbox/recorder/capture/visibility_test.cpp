// What a program can find out about being recorded, apart from time: nothing, under BPF. Under
// ptrace it can, which the coverage statement says; that is the positive control here.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "recorded_run.h"

namespace gyges::recorder {
namespace {

std::string file_text(const char* path) {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  Result<std::string> text = read_all(file.get(), 1U << 20U);
  return text ? *text : "unreadable";
}

// The lines of /proc/self/status that do not change by themselves.
std::string status_lines() {
  const std::string status = file_text("/proc/self/status");
  std::string kept;
  for (const char* name : {"State",
                           "TracerPid",
                           "Uid",
                           "Gid",
                           "FDSize",
                           "Groups",
                           "Threads",
                           "SigQ",
                           "SigPnd",
                           "ShdPnd",
                           "SigBlk",
                           "SigIgn",
                           "SigCgt",
                           "CapInh",
                           "CapPrm",
                           "CapEff",
                           "CapBnd",
                           "CapAmb",
                           "NoNewPrivs",
                           "Seccomp",
                           "Seccomp_filters",
                           "Speculation_Store_Bypass",
                           "Cpus_allowed",
                           "untag_mask"}) {
    const std::size_t at = status.find("\n" + std::string(name) + ":");
    if (at == std::string::npos) continue;
    std::string line = status.substr(at + 1, status.find('\n', at + 1) - at);
    // The number of signals queued by all of the user's processes changes by itself.
    if (line.starts_with("SigQ")) line = line.substr(0, 5) + line.substr(line.find('/'));
    kept += line;
  }
  return kept;
}

std::string outcome(const char* name, long result) {
  return std::string(name) + " " + std::to_string(result) + " " +
         (result < 0 ? std::strerror(errno) : "") + "\n";
}

// Calls that wait half a tenth of a second, uninterrupted if nobody meddles.
std::string waiting_calls() {
  std::string seen;
  const int epoll = epoll_create1(0);
  epoll_event event{};
  seen += outcome("epoll_wait", epoll_wait(epoll, &event, 1, 30));
  seen += outcome("poll", poll(nullptr, 0, 30));
  const int semaphores = semget(IPC_PRIVATE, 1, 0600);
  sembuf down = {0, -1, 0};
  const timespec moment = {0, 30000000};
  seen += outcome("semtimedop", semtimedop(semaphores, &down, 1, &moment));
  semctl(semaphores, 0, IPC_RMID);
  sigset_t usr;
  sigemptyset(&usr);
  sigaddset(&usr, SIGUSR1);
  seen += outcome("sigtimedwait", sigtimedwait(&usr, nullptr, &moment));
  seen += outcome("nanosleep", nanosleep(&moment, nullptr));
  return seen;
}

// What a parent learns of a child that stops, goes on and ends.
std::string waits() {
  std::string seen;
  signal(SIGCHLD, SIG_DFL);
  const pid_t child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    usleep(50000);  // by then the parent has seen it go on
    _exit(5);
  }
  for (int i = 0; i < 3; ++i) {
    siginfo_t info{};
    const int result = waitid(P_PID, child, &info, WSTOPPED | WCONTINUED | WEXITED);
    seen += outcome("waitid", result) + "code " + std::to_string(info.si_code) + " status " +
            std::to_string(info.si_status) + "\n";
    if (info.si_code == CLD_STOPPED) kill(child, SIGCONT);
    if (info.si_code == CLD_EXITED) break;
  }
  return seen;
}

// A child asks to be traced by its parent.
std::string trace_me() {
  const pid_t child = fork();
  if (child == 0) _exit(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : errno);
  int status = 0;
  waitpid(child, &status, 0);
  return "PTRACE_TRACEME " + std::to_string(WEXITSTATUS(status)) + "\n";
}

// A stop signal that is ignored, blocked or handled has no effect of its own.
std::string ignored_signals() {
  signal(SIGTSTP, SIG_IGN);
  raise(SIGTSTP);
  static volatile sig_atomic_t handled = 0;
  signal(SIGUSR2, [](int) { handled = handled + 1; });
  for (int i = 0; i < 10; ++i) raise(SIGUSR2);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return "handled " + std::to_string(handled) + " signals " + std::to_string(usage.ru_nsignals) +
         "\n";
}

// Everything that the program sees, in a page that the test shares.
std::string seen_by(const std::function<void(const std::function<int()>&)>& run) {
  constexpr std::size_t bytes = 1U << 16U;
  char* page = static_cast<char*>(
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  run([page] {
    const std::string seen = status_lines() + waiting_calls() + waits() + trace_me() +
                             ignored_signals() + file_text("/proc/self/wchan") +
                             file_text("/proc/self/personality");
    std::strncpy(page, seen.c_str(), bytes - 1);
    return 0;
  });
  std::string seen = page;
  munmap(page, bytes);
  return seen;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// A tracer shows in these lines and no other: stops and their continuation, waits of the parent,
// interrupted and restarted calls are as without one. (Outside a pid namespace the tracer's number
// shows too; from inside one it is 0.)
TEST(Visibility, WhatTellsOfPtrace) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::thread([] {}).join();
  const std::vector<std::string> unrecorded =
      lines_of(seen_by([](const std::function<int()>& body) {
        GatedChild child(body);
        child.open_gate();
        EXPECT_EQ(child.wait(), 0);
      }));
  auto ptrace = open_ptrace_backend({});
  ASSERT_TRUE(ptrace);
  const std::vector<std::string> traced = lines_of(seen_by([&](const std::function<int()>& body) {
    EXPECT_TRUE(record(**ptrace, body).coverage.complete);
  }));
  ASSERT_EQ(traced.size(), unrecorded.size());
  std::vector<std::string> differences;
  for (std::size_t i = 0; i < traced.size(); ++i)
    if (traced[i] != unrecorded[i]) differences.push_back(traced[i].substr(0, 9));
  EXPECT_EQ(differences, (std::vector<std::string>{"TracerPid", "PTRACE_TR"}));
}

TEST(Visibility, OnlyTimeTellsOfBpf) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::thread([] {}).join();  // with its first thread the C library installs a handler
  const std::string unrecorded = seen_by([](const std::function<int()>& body) {
    GatedChild child(body);
    child.open_gate();
    EXPECT_EQ(child.wait(), 0);
  });
  EXPECT_NE(unrecorded.find("TracerPid:\t0\n"), std::string::npos) << unrecorded;
  EXPECT_NE(unrecorded.find("PTRACE_TRACEME 0\n"), std::string::npos) << unrecorded;
  const auto recorded_by = [](CaptureBackend& backend) {
    return seen_by([&](const std::function<int()>& body) {
      EXPECT_TRUE(record(backend, body).coverage.complete);
    });
  };
  auto bpf = open_bpf_backend({});
  ASSERT_TRUE(bpf) << bpf.error().line();
  EXPECT_EQ(recorded_by(**bpf), unrecorded);
  auto ptrace = open_ptrace_backend({});
  ASSERT_TRUE(ptrace);
  const std::string traced = recorded_by(**ptrace);
  EXPECT_EQ(traced.find("PTRACE_TRACEME 0\n"), std::string::npos) << traced;
}

}  // namespace
}  // namespace gyges::recorder
