// The commands that a third-party agent was asked to run and that no process was found for yet. The
// recorder shows it each program that is executed, so that events carry the call they belong to
// from the beginning (call_join.h finds the same afterwards, with what was never declared). What an
// MCP server of the agent's does carries the call that the server works on at that time.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <vector>

#include "agent_runtime/gateway/call_join.h"
#include "sandbox/recorder/format/execution.h"

namespace gyges::gateway {

class CallBook {
 public:
  // Before any other call.
  void expect(std::vector<ServerProgram> servers) { servers_ = std::move(servers); }

  // Before the agent gets the call.
  void open(const WireCall& call);
  // Its result came back at that time. Executions from before may yet be shown.
  void close(std::uint32_t call, std::uint64_t answered_ns);
  // The call whose command this is, which counts as found then; 0: none.
  std::uint32_t claim(const recorder::ExecutedProgram& program);

  // The number of the server that is started by this program, from 1; 0: none.
  std::uint32_t server_of(const recorder::ExecutedProgram& program);
  // The call that a server works on at that time, the latest of several; 0: none.
  std::uint32_t call_at(std::uint32_t server, std::uint64_t time_ns);

 private:
  struct Open {
    std::uint32_t call = 0;
    std::string command;
    std::uint64_t requested_ns = 0, answered_ns = 0;
  };
  struct Served {
    std::uint32_t call = 0;
    std::uint32_t server = 0;
    std::uint64_t requested_ns = 0, answered_ns = 0;
  };
  std::mutex mutex_;
  std::list<Open> open_;
  std::vector<ServerProgram> servers_;
  std::list<Served> served_;  // in order
};

}  // namespace gyges::gateway
