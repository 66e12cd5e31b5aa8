// Measures that read traces: what they cost on disk and in time, and whether their paths are true.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <deque>
#include <fstream>
#include <functional>

#include "measures.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/format/trace_writer.h"

namespace gyges::bench {
namespace {

using namespace recorder;
namespace fs = std::filesystem;

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "recorder_bench: %s\n", why.c_str());
  std::exit(1);
}

// Processor time, so that other work on the machine does not count.
double cpu_seconds() {
  std::timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double seconds_of(const std::function<void()>& work) {
  const double start = cpu_seconds();
  work();
  return cpu_seconds() - start;
}

// The events of a trace with storage of their own.
struct StoredEvents {
  std::deque<std::string> bytes;
  std::deque<std::vector<Capture>> captures;
  std::vector<Event> events;
  std::uint64_t syscalls = 0;
};

constexpr std::size_t max_stored_events = 1'500'000;

StoredEvents load(const fs::path& trace) {
  StoredEvents stored;
  auto reader = TraceReader::open(trace);
  if (!reader) stop(reader.error().line());
  const Status read = reader->for_each([&](const Event& event) {
    std::vector<Capture>& captures =
        stored.captures.emplace_back(event.captures.begin(), event.captures.end());
    for (Capture& capture : captures) capture.bytes = stored.bytes.emplace_back(capture.bytes);
    stored.events.push_back(event);
    stored.events.back().captures = captures;
    stored.syscalls += event.kind == EventKind::syscall ? 1 : 0;
    return stored.events.size() < max_stored_events;
  });
  if (!read) stop(read.error().line());
  return stored;
}

struct Speed {
  double written = 0;  // events per second of processor time
  double read = 0;
};

Speed speed_of(const StoredEvents& stored, const fs::path& directory, int rounds) {
  Speed speed;
  const auto count = static_cast<double>(stored.events.size());
  for (int round = 0; round < rounds; ++round) {
    const fs::path file = directory / "again.gyt";
    fs::remove(file);
    auto writer = TraceWriter::create(file, Backend::ebpf);
    if (!writer) stop(writer.error().line());
    Coverage coverage;
    Status status = ok();
    speed.written = std::max(speed.written, count / seconds_of([&] {
                                              for (const Event& event : stored.events)
                                                if (status) status = (*writer)->append(event);
                                              if (status) status = (*writer)->finish(coverage);
                                            }));
    if (!status) stop(status.error().line());
    std::uint64_t sum = 0;
    auto reader = TraceReader::open(file);
    if (!reader) stop(reader.error().line());
    speed.read = std::max(speed.read, count / seconds_of([&] {
                                        status = reader->for_each([&](const Event& event) {
                                          sum += event.time_ns;
                                          return true;
                                        });
                                      }));
    if (!status || sum == 0) stop("a trace that was just written cannot be read");
  }
  return speed;
}

struct Truth {
  std::uint64_t opens = 0;
  std::uint64_t wrong = 0;        // the path that the record shows for the opened file
  std::uint64_t asked_other = 0;  // the string that was read from the program's memory
};

// The opened file's size, 1 or 2, tells which one it was; the call after the open asked for it.
char truth_of(std::uint64_t size) {
  return size == 1 ? 'a' : 'b';
}

Truth judge_trace(const fs::path& trace) {
  Truth truth;
  auto reader = TraceReader::open(trace);
  if (!reader) stop(reader.error().line());
  PathResolver resolver;
  char shown = 0;
  char asked = 0;
  const Status read = reader->for_each([&](const Event& event) {
    const std::vector<ResolvedPath> paths = resolver.paths_of(event);
    if (event.kind != EventKind::syscall) return true;
    const std::string name = syscall_name(event.abi, event.number);
    if (name == "openat") {
      shown = asked = 0;
      for (const Capture& capture : event.captures)
        if (capture.kind == CaptureKind::path && capture.bytes.find("/race_") != std::string::npos)
          asked = capture.bytes.back();
      if (asked == 0) return true;
      for (const ResolvedPath& path : paths)
        if (path.provenance == Provenance::kernel && path.absolute) shown = path.path.back();
    } else if (name == "fstat" && asked != 0) {
      for (const Capture& capture : event.captures) {
        if (capture.kind != CaptureKind::structure_out || capture.bytes.size() < 56) continue;
        std::uint64_t size = 0;
        std::memcpy(&size, capture.bytes.data() + offsetof(struct stat, st_size), sizeof(size));
        ++truth.opens;
        if (shown != truth_of(size)) ++truth.wrong;
        if (asked != truth_of(size)) ++truth.asked_other;
      }
      asked = 0;
    }
    return true;
  });
  if (!read) stop(read.error().line());
  return truth;
}

Truth judge_strace(const fs::path& output) {
  Truth truth;
  std::ifstream lines(output);
  char shown = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t open = line.find("/race_");
    if (line.find("openat(") != std::string::npos && open != std::string::npos)
      shown = line[open + 6];
    const std::size_t size = line.find("st_size=");
    if (line.find("fstat(") == std::string::npos || size == std::string::npos || shown == 0)
      continue;
    ++truth.opens;
    if (shown != truth_of(static_cast<std::uint64_t>(line[size + 8] - '0'))) ++truth.wrong;
    shown = 0;
  }
  return truth;
}

}  // namespace

std::vector<Row> measure_race(const Arms& arms, const Settings& settings) {
  std::vector<Row> rows;
  for (const Arm& arm : arms.all()) {
    if (arm.kind != ArmKind::gyges && arm.kind != ArmKind::strace) continue;
    const long count = static_cast<long>((arm.slow ? 10'000 : 100'000) * settings.scale);
    arms.run(arm, "race", count, true);
    const Truth truth =
        arm.kind == ArmKind::gyges ? judge_trace(arms.trace()) : judge_strace(arms.peer_output());
    Row row{.measure = "wrong paths under race", .arm = arm.name, .unit = "of opens"};
    row.best = static_cast<double>(truth.wrong);
    row.note = fmt::format("of {}", truth.opens);
    if (arm.kind == ArmKind::gyges) {
      row.note += fmt::format("; the requested string was another in {:.1f} %",
                              100.0 * static_cast<double>(truth.asked_other) /
                                  static_cast<double>(std::max<std::uint64_t>(truth.opens, 1)));
      row.target = "0";
      row.met = truth.wrong == 0 && truth.opens == static_cast<std::uint64_t>(count);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> measure_traces(const Arms& arms, const Settings& settings) {
  std::vector<Row> rows;
  const Arm* arm = arms.find("ebpf");
  if (arm == nullptr) arm = arms.find("ptrace");
  if (arm == nullptr) return rows;
  const std::vector<std::pair<std::string, long>> works = {
      {"find", 2}, {"git", 20}, {"gcc", 10}, {"tar", 10}, {"python", 10}, {"getppid", 1'000'000}};
  for (const auto& [work, count] : works)
    for (const unsigned contents : {0U, 64U}) {
      const long times = arm->slow ? std::max(1L, count / 10) : count;
      const Measured measured = arms.run(*arm, work, times, false, contents);
      const StoredEvents stored = load(arms.trace());
      const Speed speed = speed_of(stored, arms.directory(), std::max(2, settings.rounds / 2));
      const std::string which = work + (contents == 0 ? "" : ", 64 bytes of contents");
      Row size{.measure = "trace size: " + which, .arm = arm->name, .unit = "bytes/call"};
      size.best = static_cast<double>(measured.record->bytes) /
                  static_cast<double>(measured.record->syscalls);
      size.note = fmt::format("{} calls", measured.record->syscalls);
      const double limit = contents == 0 ? 7 : 12;
      size.target = fmt::format("<= {}", limit);
      size.met = size.best <= limit;
      rows.push_back(std::move(size));
      const double share =
          static_cast<double>(stored.syscalls) / static_cast<double>(stored.events.size());
      Row written{.measure = "encoded and hashed: " + which,
                  .arm = arm->name,
                  .unit = "M calls/s of a core"};
      written.best = speed.written * share / 1e6;
      written.target = ">= 4";
      written.met = written.best >= 4;
      rows.push_back(std::move(written));
      Row read{.measure = "read: " + which, .arm = arm->name, .unit = "M events/s of a core"};
      read.best = speed.read / 1e6;
      read.target = ">= 5";
      read.met = read.best >= 5;
      rows.push_back(std::move(read));
    }
  return rows;
}

}  // namespace gyges::bench
