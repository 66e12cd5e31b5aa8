// The commands that a third-party agent was asked to run and that no process was found for yet. The
// recorder shows it each program that is executed, so that events carry the call they belong to
// from the beginning (call_join.h finds the same afterwards, with what was never declared).
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>

#include "agent_runtime/gateway/call_join.h"
#include "sandbox/recorder/format/execution.h"

namespace gyges::gateway {

class CallBook {
 public:
  // Before the agent gets the call.
  void open(const WireCall& call);
  // Its result came back at that time. Executions from before may yet be shown.
  void close(std::uint32_t call, std::uint64_t answered_ns);
  // The call whose command this is, which counts as found then; 0: none.
  std::uint32_t claim(const recorder::ExecutedProgram& program);

 private:
  struct Open {
    std::uint32_t call = 0;
    std::string command;
    std::uint64_t requested_ns = 0, answered_ns = 0;
  };
  std::mutex mutex_;
  std::list<Open> open_;
};

}  // namespace gyges::gateway
