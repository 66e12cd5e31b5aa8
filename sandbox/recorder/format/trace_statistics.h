// Counts over a trace: per system call, per tool call, per process.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/process_ends.h"

namespace gyges::recorder {

struct CallCounts {
  std::uint64_t calls = 0;
  std::uint64_t failed = 0;
  std::uint64_t refused = 0;   // refused by the filter, or killed at the call
  std::uint64_t total_ns = 0;  // from entry to exit, summed
};

struct ToolCallCounts {
  std::uint32_t tool_call = 0;  // 0: outside of any
  std::string tool;             // hostile bytes
  CallCounts counts;
  std::uint64_t processes = 0;
};

struct ProcessCounts {
  std::int32_t pid = 0;
  std::int32_t inside_pid = 0;
  std::uint32_t tool_call = 0;
  std::string program;  // path of the image it last ran, as the kernel names it; hostile bytes
  CallCounts counts;
};

// Takes in events one by one. Memory grows with distinct processes and calls, not with events.
class TraceStatistics {
 public:
  void add(const Event& event);

  [[nodiscard]] std::uint64_t events() const { return events_; }
  [[nodiscard]] const CallCounts& total() const { return total_; }
  // How often and how long in all the recorder held a task back.
  [[nodiscard]] std::uint64_t waits() const { return waits_; }
  [[nodiscard]] std::uint64_t waited_ns() const { return waited_ns_; }
  [[nodiscard]] std::uint64_t first_ns() const { return first_ns_; }
  [[nodiscard]] std::uint64_t last_ns() const { return last_ns_; }

  // By name, most calls first; calls of another ABI as "name [i386]".
  [[nodiscard]] std::vector<std::pair<std::string, CallCounts>> per_syscall() const;
  [[nodiscard]] std::vector<ToolCallCounts> per_tool_call() const;  // ascending
  [[nodiscard]] std::vector<ProcessCounts> per_process() const;     // in order of appearance

 private:
  ProcessCounts& process(const Event& event);

  std::uint64_t events_ = 0;
  std::uint64_t waits_ = 0;
  std::uint64_t waited_ns_ = 0;
  std::uint64_t first_ns_ = 0;
  std::uint64_t last_ns_ = 0;
  CallCounts total_;
  std::unordered_map<std::uint64_t, CallCounts> calls_;  // by ABI and number
  std::map<std::uint32_t, ToolCallCounts> tool_calls_;
  std::vector<ProcessCounts> processes_;
  std::unordered_map<std::int32_t, std::size_t> process_index_;  // by pid, of the one alive
  ProcessEnds ends_;
};

}  // namespace gyges::recorder
