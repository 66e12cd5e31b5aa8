#include "sandbox/recorder/format/trace_statistics.h"

#include <fmt/format.h>

#include <algorithm>

#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

void count(CallCounts& counts, const Event& event) {
  ++counts.calls;
  if (event.has_exit && event.result < 0 && event.result >= -4095) ++counts.failed;
  if (event.verdict == Verdict::refused || event.verdict == Verdict::killed) ++counts.refused;
  counts.total_ns += event.duration_ns;
}

std::uint64_t key_of(const Event& event) {
  return static_cast<std::uint64_t>(event.abi) << 32U | event.number;
}

}  // namespace

ProcessCounts& TraceStatistics::process(const Event& event) {
  auto [at, added] = process_index_.emplace(event.pid, processes_.size());
  if (added) {
    processes_.push_back({event.pid, event.inside_pid, tool_call_of(event), {}, {}});
    ++tool_calls_[tool_call_of(event)].processes;
  }
  return processes_[at->second];
}

void TraceStatistics::add(const Event& event) {
  if (events_++ == 0) first_ns_ = event.time_ns;
  first_ns_ = std::min(first_ns_, event.time_ns);
  last_ns_ = std::max(last_ns_, event.time_ns + event.duration_ns);
  const bool ends = ends_.ends(event);
  switch (event.kind) {
    case EventKind::syscall:
      count(total_, event);
      count(calls_[key_of(event)], event);
      count(tool_calls_[tool_call_of(event)].counts, event);
      count(process(event).counts, event);
      break;
    case EventKind::process_exec: {
      ProcessCounts& known = process(event);
      for (const Capture& capture : event.captures)
        if (capture.kind == CaptureKind::file_identity &&
            capture.bytes.size() > sizeof(FileIdentity))
          known.program = capture.bytes.substr(sizeof(FileIdentity));
      break;
    }
    case EventKind::process_exit:
      // The pid may come again for another process.
      if (ends) process_index_.erase(event.pid);
      break;
    case EventKind::tool_call_start:
      for (const Capture& capture : event.captures)
        if (capture.kind == CaptureKind::text)
          tool_calls_[tool_call_of(event)].tool = capture.bytes;
      break;
    case EventKind::recorder_wait:
      if (event.args[0] == 1) break;  // by a quota: of the whole sandbox, not of a task
      ++waits_;
      waited_ns_ += event.duration_ns;
      break;
    default:
      break;
  }
}

std::vector<std::pair<std::string, CallCounts>> TraceStatistics::per_syscall() const {
  std::vector<std::pair<std::string, CallCounts>> list;
  for (const auto& [key, counts] : calls_) {
    auto abi = static_cast<Abi>(key >> 32U);
    std::string name = syscall_name(abi, static_cast<std::uint32_t>(key));
    if (abi != Abi::x86_64) name += fmt::format(" [{}]", abi_name(abi));
    list.emplace_back(std::move(name), counts);
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return a.second.calls != b.second.calls ? a.second.calls > b.second.calls : a.first < b.first;
  });
  return list;
}

std::vector<ToolCallCounts> TraceStatistics::per_tool_call() const {
  std::vector<ToolCallCounts> list;
  for (const auto& [id, counts] : tool_calls_) {
    list.push_back(counts);
    list.back().tool_call = id;
  }
  return list;
}

std::vector<ProcessCounts> TraceStatistics::per_process() const {
  return processes_;
}

}  // namespace gyges::recorder
