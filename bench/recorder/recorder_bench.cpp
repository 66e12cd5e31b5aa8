// What recording costs: the same work untraced, under each backend, under strace -f and perf trace,
// in turns.
//
//   recorder_bench [--json-file FILE] [--rounds N] [--scale F]
//   recorder_bench --work getppid|files|compile N     (the work itself, for strace)
//
// Prints the best time of all rounds per call (loops) or per run (compile) and its ratio to the
// untraced one. Trust ratios: absolute times move with the machine.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/fd.h"
#include "sandbox/recorder/recorder.h"

namespace {

using namespace gyges;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "recorder_bench: %s\n", why.c_str());
  std::exit(1);
}

std::filesystem::path directory;

void make_source() {
  std::ofstream file(directory / "work.c");
  file << "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n";
  for (int i = 0; i < 400; ++i)
    file << "int f" << i << "(int a, const char* b) { int s = 0; for (int j = 0; j < a; ++j) s += "
         << "(int)strlen(b) * j % " << i + 3 << "; printf(\"%d\", s); return s; }\n";
}

// Does the work and prints its duration in seconds.
int work(const std::string& name, long count) {
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
  } else {
    for (long i = 0; i < count; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        execlp("gcc", "gcc", "-O1", "-c", (directory / "work.c").c_str(), "-o",
               (directory / "work.o").c_str(), nullptr);
        _exit(127);
      }
      int status = 0;
      if (waitpid(child, &status, 0) != child || status != 0) return 1;
    }
  }
  std::printf("%.9f\n", seconds_since(start));
  std::fflush(stdout);
  return 0;
}

struct Measured {
  double seconds = 0;
  std::uint64_t calls = 0;
  std::uint64_t lost = 0;
};

// Runs argv with its output in a pipe; recorded if there is a recorder.
Measured run(const std::vector<std::string>& argv, recorder::Recorder* recorder) {
  Pipe gate = *make_pipe();
  Pipe output = *make_pipe();
  const pid_t child = fork();
  if (child == 0) {
    char go = 0;
    dup2(output.write.get(), 1);
    gate.write.reset();
    if (read(gate.read.get(), &go, 1) != 1) _exit(1);
    std::vector<char*> pointers;
    for (const std::string& argument : argv)
      pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    execvp(pointers[0], pointers.data());
    _exit(127);
  }
  output.write.reset();
  std::unique_ptr<recorder::Session> session;
  const std::filesystem::path trace = directory / "trace.gyt";
  if (recorder != nullptr) {
    std::filesystem::remove(trace);
    recorder::SessionOptions options;
    options.trace_file = trace;
    auto started = recorder->start(options);
    if (!started) stop(started.error().line());
    session = std::move(*started);
    const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
    if (const Status adopted = session->adopt(pidfd.get(), child, 0); !adopted)
      stop(adopted.error().line());
  }
  if (write(gate.write.get(), "g", 1) != 1) stop("gate");
  const Result<std::string> text = read_all(output.read.get(), 4096);
  int status = 0;
  waitpid(child, &status, 0);
  if (!text || status != 0) stop(argv[0] + " failed with status " + std::to_string(status));
  Measured measured;
  measured.seconds = std::strtod(text->c_str(), nullptr);
  if (session != nullptr) {
    const auto coverage = session->close();
    if (!coverage) stop(coverage.error().line());
    measured.calls = coverage->syscalls;
    measured.lost = coverage->counters.lost;
    if (!coverage->complete) stop("the record is not complete");
  }
  return measured;
}

// perf trace writes "LOST 12 events!" among its lines.
std::uint64_t lost_by_perf() {
  std::ifstream file(directory / "perf.txt");
  std::uint64_t lost = 0;
  for (std::string line; std::getline(file, line);)
    if (const std::size_t at = line.find("LOST "); at != std::string::npos)
      lost += std::strtoull(line.c_str() + at + 5, nullptr, 10);
  return lost;
}

struct Work {
  std::string name;
  std::string unit;
  long count;        // untraced and ebpf
  long slow_count;   // ptrace and strace
  double divide_by;  // calls per iteration
};

}  // namespace

int main(int argc, char** argv) {
  std::string json_file;
  int rounds = 5;
  double scale = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json-file" && i + 1 < argc) {
      json_file = argv[++i];
    } else if (option == "--rounds" && i + 1 < argc) {
      rounds = std::atoi(argv[++i]);
    } else if (option == "--scale" && i + 1 < argc) {
      scale = std::atof(argv[++i]);
    } else if (option == "--work" && i + 3 < argc) {
      directory = argv[i + 3];
      return work(argv[i + 1], std::atol(argv[i + 2]));
    } else {
      stop("usage: recorder_bench [--json-file FILE] [--rounds N] [--scale F]");
    }
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);  // rows appear as they are known, in a file too
  char name[] = "/tmp/recorder_bench_XXXXXX";
  if (mkdtemp(name) == nullptr) stop("no temporary directory");
  directory = name;
  make_source();

  std::map<std::string, std::unique_ptr<recorder::Recorder>> recorders;
  std::vector<std::string> methods = {"untraced"};
  for (const auto& [method, backend] : {std::pair{"ebpf", recorder::Backend::ebpf},
                                        std::pair{"ptrace", recorder::Backend::ptrace}}) {
    auto opened = recorder::Recorder::open(backend, {});
    if (!opened) {
      std::fprintf(stderr, "without %s: %s\n", method, opened.error().line().c_str());
      continue;
    }
    recorders[method] = std::move(*opened);
    methods.emplace_back(method);
  }
  // perf trace makes a line of every call, as strace does; perf record only stores them.
  const std::map<std::string, std::vector<std::string>> peers = {
      {"strace", {"strace", "-f", "-o", "/dev/null"}},
      {"perf trace", {"perf", "trace", "-o", directory / "perf.txt"}},
      {"perf record",
       {"perf", "record", "-q", "-e", "raw_syscalls:*", "-m", "64M", "-o",
        directory / "perf.data"}},
  };
  for (const auto& [method, command] : peers) {
    // Whether it works here, not only whether it is installed.
    std::string attempt;
    for (const std::string& word : command) attempt += word + " ";
    if (std::system((attempt + "true >/dev/null 2>&1").c_str()) == 0)
      methods.push_back(method);
    else
      std::fprintf(stderr, "without %s: it does not run here\n", method.c_str());
  }

  const auto scaled = [&](long count) { return std::max(1L, static_cast<long>(count * scale)); };
  const std::vector<Work> works = {
      {"getppid", "ns/call", scaled(400000), scaled(20000), 1},
      {"files", "ns/call", scaled(100000), scaled(6000), 3},
      {"compile", "ms/run", 3, 3, 1},
  };
  nlohmann::json result = nlohmann::json::array();
  std::printf("%-10s %-12s %12s %8s %10s\n", "work", "method", "best", "ratio", "lost");
  for (const Work& item : works) {
    std::map<std::string, double> best;
    std::map<std::string, std::uint64_t> lost;
    for (int round = 0; round < rounds; ++round) {
      for (const std::string& method : methods) {
        const bool slow = method == "ptrace" || method == "strace" || method == "perf trace";
        const long count = slow ? item.slow_count : item.count;
        std::vector<std::string> command = {std::filesystem::read_symlink("/proc/self/exe"),
                                            "--work", item.name, std::to_string(count), directory};
        if (const auto peer = peers.find(method); peer != peers.end())
          command.insert(command.begin(), peer->second.begin(), peer->second.end());
        const auto found = recorders.find(method);
        const Measured measured =
            run(command, found == recorders.end() ? nullptr : found->second.get());
        const double each = measured.seconds / static_cast<double>(count) / item.divide_by *
                            (item.unit == "ms/run" ? 1e3 : 1e9);
        best[method] = best.count(method) == 0 ? each : std::min(best[method], each);
        lost[method] += method == "perf trace" ? lost_by_perf() : measured.lost;
      }
    }
    for (const std::string& method : methods) {
      const double ratio = best[method] / best["untraced"];
      std::printf("%-10s %-12s %8.1f %s %7.2fx %10llu\n", item.name.c_str(), method.c_str(),
                  best[method], item.unit.c_str(), ratio,
                  static_cast<unsigned long long>(lost[method]));
      result.push_back({{"work", item.name},
                        {"method", method},
                        {"best", best[method]},
                        {"unit", item.unit},
                        {"ratio", ratio},
                        {"lost", lost[method]}});
    }
  }
  if (!json_file.empty()) std::ofstream(json_file) << result.dump(2) << "\n";
  std::filesystem::remove_all(directory);
  return 0;
}
