#include "works.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

namespace gyges::bench {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Runs a program with its output thrown away; false unless it ends with 0.
bool run_program(const std::vector<std::string>& argv) {
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    std::vector<char*> pointers;
    for (const std::string& word : argv) pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    execvp(pointers[0], pointers.data());
    _exit(127);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0;
}

std::vector<std::string> program_of(const std::string& name, const fs::path& directory) {
  if (name == "git")
    return {"git", "-c", "safe.directory=*", "-C", directory / "repository", "status"};
  // Every user may read all of these.
  if (name == "find")
    return {"find",  "/usr/share/doc", "/usr/share/man", "/usr/share/locale",
            "-xdev", "-size",          "+1000M"};
  if (name == "gcc") return {"gcc", "-O1", "-c", directory / "work.c", "-o", directory / "work.o"};
  if (name == "tar") return {"tar", "-cf", directory / "out.tar", "-C", directory, "repository"};
  if (name == "python")
    return {"python3", "-S", "-c", "import json, subprocess, tempfile, argparse, email"};
  return {};
}

struct Flooder {
  std::uint64_t calls = 0;
  std::uint64_t signals = 0;
  std::uint64_t padding[6] = {};  // a cache line each
};

volatile std::sig_atomic_t handled_signals = 0;

// Four processes call, two on each of two processors; the parent blocks in calls that a signal or a
// freezer would interrupt, and asks whether a child was stopped.
WorkReport flood(long seconds) {
  struct sigaction action {};
  action.sa_handler = [](int) { handled_signals = handled_signals + 1; };
  for (int signal = 1; signal < NSIG; ++signal)
    if (signal != SIGCHLD) sigaction(signal, &action, nullptr);
  auto* flooders = static_cast<Flooder*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + std::chrono::seconds(seconds);
  WorkReport report;
  std::array<pid_t, 4> children{};
  for (std::size_t i = 0; i < children.size(); ++i) {
    children[i] = fork();
    if (children[i] != 0) continue;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(i % 2 % static_cast<std::size_t>(processors), &set);
    sched_setaffinity(0, sizeof(set), &set);
    while (Clock::now() < end) {
      for (int j = 0; j < 1000; ++j) syscall(SYS_getppid);
      flooders[i].calls += 1000;
    }
    flooders[i].signals = static_cast<std::uint64_t>(handled_signals);
    _exit(0);
  }
  while (Clock::now() < end) {
    if (poll(nullptr, 0, 20) < 0 && errno == EINTR) ++report.interrupted;
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WSTOPPED | WCONTINUED | WNOHANG) == 0 && info.si_pid != 0)
      ++report.noticed;
  }
  for (pid_t child : children)
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) ++report.interrupted;
  report.seconds = seconds_since(start);
  report.noticed += static_cast<std::uint64_t>(handled_signals);
  for (std::size_t i = 0; i < children.size(); ++i) {
    report.calls += flooders[i].calls;
    report.noticed += flooders[i].signals;
  }
  return report;
}

// Opens a path while another thread changes its last letter between two files of sizes 1 and 2, and
// asks the kernel (fstat) which of them it got.
void race(long count, const fs::path& directory) {
  std::string path = directory / "race_a";
  char* text = path.data();
  char* letter = text + path.size() - 1;
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      __atomic_store_n(letter, 'b', __ATOMIC_RELAXED);
      for (int i = 0; i < 40; ++i) asm volatile("pause");
      __atomic_store_n(letter, 'a', __ATOMIC_RELAXED);
      for (int i = 0; i < 40; ++i) asm volatile("pause");
    }
  });
  for (long i = 0; i < count; ++i) {
    auto file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, text, O_RDONLY));
    struct stat found {};
    syscall(SYS_fstat, file, &found);
    close(file);
  }
  stop = true;
  other.join();
}

}  // namespace

void prepare_works(const fs::path& directory) {
  std::ofstream source(directory / "work.c");
  source << "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n";
  for (int i = 0; i < 400; ++i)
    source << "int f" << i << "(int a, const char* b) { int s = 0; for (int j = 0; j < a; ++j) s "
           << "+= (int)strlen(b) * j % " << i + 3 << "; printf(\"%d\", s); return s; }\n";
  source.close();
  // An arm that runs as an ordinary user writes these too.
  for (const char* name : {"out.tar", "work.o"}) {
    std::ofstream(directory / name) << "";
    ::chmod((directory / name).c_str(), 0666);
  }
  std::ofstream(directory / "race_a") << "a";
  std::ofstream(directory / "race_b") << "bb";
  for (int i = 0; i < 40; ++i) {
    fs::path folder = directory / "repository" / fmt::format("part_{:02}", i);
    fs::create_directories(folder);
    for (int j = 0; j < 20; ++j) {
      std::ofstream file(folder / fmt::format("source_{:02}.c", j));
      for (int line = 0; line < 30; ++line)
        file << "static int value_" << i << "_" << j << "_" << line << " = "
             << (i * 7919 + j * 104729 + line) % 65537 << ";\n";
    }
  }
  std::string git = fmt::format("git -C {} ", (directory / "repository").string());
  std::string made = git + "init -q . && " + git + "add . && " + git +
                     "-c user.name=bench -c user.email=bench@example.org commit -q -m first";
  if (std::system(made.c_str()) != 0) {
    std::fprintf(stderr, "recorder_bench: git cannot make a repository in %s\n", directory.c_str());
    std::exit(1);
  }
}

int do_work(const std::string& name, long count, const fs::path& directory) {
  WorkReport report;
  const Clock::time_point start = Clock::now();
  if (name == "getppid") {
    for (long i = 0; i < count; ++i) syscall(SYS_getppid);
  } else if (name == "files") {
    char buffer[256];
    for (long i = 0; i < count; ++i) {
      const int file = open("/etc/passwd", O_RDONLY);
      if (read(file, buffer, sizeof(buffer)) < 0) return 1;
      close(file);
    }
  } else if (name == "flood") {
    report = flood(count);
  } else if (name == "race") {
    race(count, directory);
  } else if (name == "idle") {
    std::ofstream(directory / "ready") << "1";
    while (!fs::exists(directory / "stop")) poll(nullptr, 0, 20);
  } else {
    const std::vector<std::string> program = program_of(name, directory);
    if (program.empty()) return 2;
    for (long i = 0; i < count; ++i)
      if (!run_program(program)) return 1;
  }
  if (report.seconds == 0) report.seconds = seconds_since(start);
  fmt::print("{:.9f} {} {} {}\n", report.seconds, report.calls, report.interrupted, report.noticed);
  std::fflush(stdout);
  return 0;
}

WorkReport parse_work_report(const std::string& line) {
  WorkReport report;
  unsigned long long calls = 0, interrupted = 0, noticed = 0;
  if (std::sscanf(line.c_str(), "%lf %llu %llu %llu", &report.seconds, &calls, &interrupted,
                  &noticed) != 4)
    return {};
  report.calls = calls;
  report.interrupted = interrupted;
  report.noticed = noticed;
  return report;
}

}  // namespace gyges::bench
