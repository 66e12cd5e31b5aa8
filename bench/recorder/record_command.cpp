#include "record_command.h"
#include "base/json.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>

#include "base/fd.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::bench {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "recorder_bench record: %s\n", why.c_str());
  std::exit(1);
}

// "Name:   123 kB" in a file of /proc, as bytes.
std::uint64_t kilobytes_in(const fs::path& file, const std::string& name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":"))
      return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  return 0;
}

// Memory of the BPF maps that this process holds, each counted once.
std::uint64_t bpf_map_bytes() {
  std::uint64_t sum = 0;
  std::set<std::string> seen;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator("/proc/self/fdinfo", code)) {
    std::ifstream lines(entry.path());
    std::string id;
    std::uint64_t bytes = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("map_id:")) id = line;
      if (line.starts_with("memlock:")) bytes = std::strtoull(line.c_str() + 8, nullptr, 10);
    }
    if (!id.empty() && seen.insert(id).second) sum += bytes;
  }
  return sum;
}

}  // namespace

int record_command(int argc, char** argv) {
  if (argc < 6) stop("too few arguments");
  const std::string backend_name = argv[0];
  recorder::SessionOptions options;
  options.buffer_bytes = static_cast<std::uint32_t>(std::atoi(argv[1]));
  options.trace_file = argv[2];
  const fs::path report_file = argv[3];
  int at = 4;
  if (std::string(argv[at]) == "--user" && at + 2 < argc) {
    const auto user = static_cast<uid_t>(std::atoi(argv[at + 1]));
    if (setgroups(0, nullptr) != 0 || setgid(user) != 0 || setuid(user) != 0)
      stop("cannot be user");
    // setuid(2) took this away, and with it what an ordinary user may: trace its own children.
    prctl(PR_SET_DUMPABLE, 1);
    at += 2;
  }
  if (std::string(argv[at]) != "--" || at + 1 >= argc) stop("there is no command");
  ++at;
  const auto backend = backend_name == "ebpf" ? recorder::Backend::ebpf : recorder::Backend::ptrace;
  auto opened = recorder::Recorder::open(backend, {});
  if (!opened) stop(opened.error().line());
  Pipe gate = *make_pipe();
  const pid_t child = fork();
  if (child == 0) {
    char go = 0;
    gate.write.reset();
    if (read(gate.read.get(), &go, 1) != 1) _exit(1);
    execvp(argv[at], argv + at);
    _exit(127);
  }
  fs::remove(options.trace_file);
  auto session = (*opened)->start(options);
  if (!session) stop(session.error().line());
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  if (const Status adopted = (*session)->adopt(pidfd.get(), child, 0); !adopted)
    stop(adopted.error().line());
  if (write(gate.write.get(), "g", 1) != 1) stop("gate");
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  nlohmann::json report = {
      {"peak_resident_bytes", kilobytes_in("/proc/self/status", "VmHWM")},
      {"proportional_bytes", kilobytes_in("/proc/self/smaps_rollup", "Pss")},
      {"anonymous_bytes", kilobytes_in("/proc/self/smaps_rollup", "Pss_Anon")},
      {"kernel_bytes", bpf_map_bytes()},
  };
  const auto coverage = (*session)->close();
  if (!coverage) stop(coverage.error().line());
  report.update({{"syscalls", coverage->syscalls},
                 {"events", coverage->events},
                 {"enters", coverage->counters.enters},
                 {"recorded_enters", coverage->counters.recorded_enters},
                 {"lost", coverage->counters.lost},
                 {"waits", coverage->counters.waits},
                 {"bytes", coverage->bytes},
                 {"complete", coverage->complete}});
  std::ofstream(report_file) << report.dump() << "\n";
  return status == 0 ? 0 : 1;
}

RecordReport read_record_report(const fs::path& file) {
  std::ifstream stream(file);
  const nlohmann::json json = nlohmann::json::parse(stream, nullptr, false);
  RecordReport report;
  if (json.is_discarded()) return report;
  const auto number = [&](const char* key) { return json.at(key).get<std::uint64_t>(); };
  report.syscalls = number("syscalls");
  report.events = number("events");
  report.enters = number("enters");
  report.recorded_enters = number("recorded_enters");
  report.lost = number("lost");
  report.waits = number("waits");
  report.bytes = number("bytes");
  report.complete = json.at("complete").get<bool>();
  report.peak_resident_bytes = number("peak_resident_bytes");
  report.proportional_bytes = number("proportional_bytes");
  report.anonymous_bytes = number("anonymous_bytes");
  report.kernel_bytes = number("kernel_bytes");
  return report;
}

}  // namespace gyges::bench
