// The processes of a third-party agent as the trace shows them, for call_join.h, and what the join
// found as processes.jsonl of a run bundle (policies/schemas/processes.schema.json).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <vector>

#include "agent_runtime/gateway/call_join.h"
#include "base/error.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::gateway {

// Builds the tree from events in the order of the trace. Bounded: past most_executions or
// most_processes further ones are not looked at, which complete() says.
class ProcessTree {
 public:
  static constexpr std::size_t most_executions = 200'000;
  static constexpr std::size_t most_processes = 1'000'000;

  void take(const recorder::Event& event);
  // Index of the first process that was recorded: the agent.
  static constexpr std::uint32_t agent = 0;
  [[nodiscard]] const std::vector<Process>& processes() const { return processes_; }
  [[nodiscard]] const std::vector<Execution>& executions() const { return executions_; }
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  std::uint32_t index_of(std::int32_t pid);
  std::vector<Process> processes_;
  std::vector<Execution> executions_;
  std::map<std::int32_t, std::uint32_t> current_;  // by pid of the host
  bool complete_ = true;
};

struct JoinSummary {
  std::size_t commands = 0;  // that calls of shell tools asked for, and calls of servers' tools
  std::size_t found = 0;     // of them, with a process
  std::size_t undeclared = 0;
};

// Reads trace.gyt of `bundle`, joins it with `calls` and writes processes.jsonl.
Result<JoinSummary> write_processes(const std::filesystem::path& bundle,
                                    const std::vector<WireCall>& calls,
                                    const std::vector<ServerProgram>& servers);

}  // namespace gyges::gateway
