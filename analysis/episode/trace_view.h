// The trace of one episode as a person can take it in: processes, what was looked at and changed,
// how much went on when. Every system call is counted; those that are not shown one by one are
// summed up, and what is left out is said.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/episode/episode_limits.h"
#include "analysis/features/act.h"
#include "analysis/features/findings.h"

namespace gyges::analysis {

enum class ActivityKind : std::uint8_t { other, file, change, process, network };
inline constexpr std::size_t activity_kinds = 5;
const char* activity_name(ActivityKind kind);

// One system call, or several of the same process and tool call that did the same with the same
// object and ended the same way.
struct TraceRow {
  std::uint64_t sequence = 0;  // of the first
  std::uint64_t last_sequence = 0;
  std::uint64_t time_ns = 0;      // CLOCK_MONOTONIC
  std::uint64_t last_ns = 0;      // entry of the last
  std::uint64_t duration_ns = 0;  // of all
  std::uint64_t count = 1;
  std::size_t process = 0;  // index
  std::uint32_t call = 0;   // tool call; 0: none
  ActivityKind kind = ActivityKind::other;
  bool failed = false;
  bool refused = false;
  bool evidence = false;    // a check or feature points at it
  std::uint8_t rank = 0;    // what is shown first where not all fits: the lowest
  std::string text;         // the first; printable
  const char* cue = "";     // row of the catalogue that it is a look at
  const char* origin = "";  // of that look: "deliberate", "incidental", "unexplained"
};

struct ProcessView {
  std::int32_t pid = 0;         // as the host saw it
  std::int32_t inside_pid = 0;  // 0: unknown
  std::int64_t parent = -1;     // index; -1: not in the trace
  std::string program;
  std::string command;  // arguments of the last execve; printable
  std::uint64_t start_ns = 0;
  std::optional<std::uint64_t> end_ns;
  std::int64_t wait_status = 0;  // with end_ns
  std::uint32_t call = 0;
  std::uint64_t calls = 0;
  std::uint64_t failed = 0;
};

struct CallCount {
  std::uint64_t calls = 0;
  std::uint64_t failed = 0;
  std::uint64_t refused = 0;
};

struct TraceView {
  TraceFacts facts;
  std::uint64_t syscalls = 0;
  std::vector<TraceRow> rows;  // by sequence
  std::uint64_t rows_left_out = 0;
  std::uint64_t calls_left_out = 0;  // system calls in these
  std::vector<ProcessView> processes;
  std::uint64_t processes_left_out = 0;
  std::map<std::string, CallCount> by_name;
  std::map<std::uint32_t, CallCount> by_tool_call;
  std::vector<std::vector<std::uint64_t>> activity;  // [kind][bin], every system call
};

// Reads the trace once. `findings` are those of the run: what they point at comes first.
TraceView view_trace(const Run& run, const Findings& findings, const EpisodeLimits& limits);

// The same under limits that are narrower than those it was made with, and a number of bins that
// divides theirs; no trace is read.
TraceView narrowed(TraceView view, const EpisodeLimits& limits);

}  // namespace gyges::analysis
