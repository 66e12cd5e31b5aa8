#include "arms.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/fd.h"

namespace gyges::bench {
namespace {

namespace fs = std::filesystem;

constexpr unsigned ordinary_user = 65534;

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "recorder_bench: %s\n", why.c_str());
  std::exit(1);
}

// sysdig has no command to start: it begins beside the work and is ended after it.
constexpr const char* sysdig_script =
    "sysdig -q -w \"$0\" >/dev/null 2>&1 & recorder=$!; sleep 2; \"$@\"; status=$?; "
    "kill -INT $recorder; wait $recorder; exit $status";

bool runs(const std::vector<std::string>& words) {
  std::string command;
  for (const std::string& word : words) command += "'" + word + "' ";
  return std::system((command + ">/dev/null 2>&1").c_str()) == 0;
}

std::uint64_t count_lines(const fs::path& path, const std::string& with) {
  std::ifstream file(path);
  std::uint64_t count = 0;
  for (std::string line; std::getline(file, line);)
    if (line.find(with) != std::string::npos) ++count;
  return count;
}

// The number of samples in a perf.data file, as perf itself counts them.
std::optional<std::uint64_t> perf_samples(const fs::path& data) {
  const std::string command = fmt::format("perf report -i {} --stats 2>/dev/null", data.string());
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  char line[512];
  std::optional<std::uint64_t> samples;
  while (fgets(line, sizeof(line), pipe) != nullptr) {
    const std::string text = line;
    const std::size_t at = text.find("SAMPLE events:");
    if (at != std::string::npos && !samples)
      samples = std::strtoull(text.c_str() + at + 14, nullptr, 10);
  }
  pclose(pipe);
  return samples;
}

}  // namespace

Arms::Arms(fs::path directory)
    : directory_(std::move(directory)), self_(fs::read_symlink("/proc/self/exe")) {
  const fs::path output = peer_output();
  const std::vector<Arm> candidates = {
      {"untraced", ArmKind::untraced, {}, false},
      {"empty programs", ArmKind::floor, {self_, "floor", "programs"}, false},
      {"ebpf", ArmKind::gyges, {self_, "record", "ebpf"}, false},
      {"bare tracer", ArmKind::floor, {self_, "floor", "tracer"}, true},
      {"ptrace", ArmKind::gyges, {self_, "record", "ptrace"}, true},
      {"ptrace, user", ArmKind::gyges, {self_, "record", "ptrace"}, true},
      {"strace -f", ArmKind::strace, {"strace", "-f"}, true},
      {"perf trace", ArmKind::perf_trace, {"perf", "trace", "-o", output}, true},
      {"perf record",
       ArmKind::perf_record,
       {"perf", "record", "-q", "-e", "raw_syscalls:*", "-m", "64M", "-o", output},
       false},
      {"sysdig", ArmKind::sysdig, {"sh", "-c", sysdig_script, output}, false},
  };
  // The ordinary user writes its trace here.
  ::chmod(directory_.c_str(), 0777);
  for (const Arm& arm : candidates) {
    const bool as_user = arm.name == "ptrace, user";
    if (as_user && geteuid() != 0) continue;  // then "ptrace" is it
    std::vector<std::string> attempt = command_of(arm, true, 64);
    if (arm.kind == ArmKind::sysdig) attempt = {"sysdig", "-q", "-n", "1"};
    attempt.emplace_back(arm.kind == ArmKind::sysdig ? "evt.num>0" : "true");
    if (arm.kind == ArmKind::untraced || runs(attempt))
      arms_.push_back(arm);
    else
      std::fprintf(stderr, "without %s: it is not installed or does not run here\n",
                   arm.name.c_str());
    fs::remove(trace());
    fs::remove(output);
    fs::remove(directory_ / "report");
  }
}

const Arm* Arms::find(const std::string& name) const {
  for (const Arm& arm : arms_)
    if (arm.name == name) return &arm;
  return nullptr;
}

std::vector<std::string> Arms::command_of(const Arm& arm, bool keep_output,
                                          unsigned buffer_bytes) const {
  std::vector<std::string> command = arm.prefix;
  if (arm.kind == ArmKind::gyges) {
    command.insert(command.end(), {std::to_string(buffer_bytes), trace(), directory_ / "report"});
    if (arm.name == "ptrace, user")
      command.insert(command.end(), {"--user", std::to_string(ordinary_user)});
    command.emplace_back("--");
  }
  if (arm.kind == ArmKind::strace)
    command.insert(command.end(), {"-o", keep_output ? peer_output().string() : "/dev/null"});
  return command;
}

Measured Arms::run(const Arm& arm, const std::string& work, long count, bool keep_output,
                   unsigned buffer_bytes, const std::function<void(int)>& meanwhile) const {
  std::vector<std::string> argv = command_of(arm, keep_output, buffer_bytes);
  argv.insert(argv.end(), {self_, "work", work, std::to_string(count), directory_});
  fs::remove(trace());
  fs::remove(peer_output());
  fs::remove(directory_ / "report");
  Pipe output = *make_pipe();
  const pid_t child = fork();
  if (child == 0) {
    dup2(output.write.get(), 1);
    std::vector<char*> pointers;
    for (std::string& word : argv) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    execvp(pointers[0], pointers.data());
    _exit(127);
  }
  output.write.reset();
  if (meanwhile) meanwhile(child);
  const Result<std::string> text = read_all(output.read.get(), 4096);
  int status = 0;
  waitpid(child, &status, 0);
  if (!text || status != 0)
    stop(fmt::format("{} under {} failed with status {}", work, arm.name, status));
  Measured measured;
  measured.work = parse_work_report(*text);
  if (measured.work.seconds == 0) stop(fmt::format("{} under {} gave no report", work, arm.name));
  if (arm.kind == ArmKind::gyges) {
    measured.record = read_record_report(directory_ / "report");
    const RecordReport& record = *measured.record;
    if (!record.complete && record.lost == 0)
      stop(fmt::format("{} under {}: the record is not complete", work, arm.name));
    // By the work's own count where it has one, not only by the recorder's word.
    measured.lost =
        std::max({record.lost, record.enters - record.recorded_enters,
                  measured.work.calls > record.syscalls ? measured.work.calls - record.syscalls
                                                        : std::uint64_t{0}});
  } else if (keep_output && measured.work.calls > 0) {
    measured.lost = lost_by(arm, measured.work.calls);
  }
  return measured;
}

std::optional<std::uint64_t> Arms::lost_by(const Arm& arm, std::uint64_t calls) const {
  std::uint64_t found = 0;
  switch (arm.kind) {
    case ArmKind::strace:
    case ArmKind::perf_trace:
      found = count_lines(peer_output(), "getppid(");
      break;
    case ArmKind::perf_record: {
      const std::optional<std::uint64_t> samples = perf_samples(peer_output());
      if (!samples) return std::nullopt;
      found = *samples / 2;  // an enter and an exit each
      break;
    }
    default:
      return std::nullopt;
  }
  return calls > found ? calls - found : 0;
}

}  // namespace gyges::bench
