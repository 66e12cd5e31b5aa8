// The third-party agent as a process of the sandbox: started, its output kept in windows of bounded
// size, ended at its deadline or when the run is over.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::scaffold {

struct AgentCommand {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // NAME=value, complete
  std::string directory;                 // inside
  std::uint64_t output_bytes = 65536;    // kept of each of the two streams
  std::chrono::steady_clock::time_point deadline;
  // Another deadline, which moves; asked again and again. May be empty.
  std::function<std::chrono::steady_clock::time_point()> working_deadline;
  int stop_fd = -1;       // borrowed; readable: the agent is to end now
  int interrupt_fd = -1;  // the same, because a person wants it
};

struct AgentEnd {
  std::optional<isolation::CommandEnd> end;  // none: it was killed, or the sandbox was lost
  bool timed_out = false;
  bool worked_out = false;     // at working_deadline
  bool stopped = false;        // by stop_fd
  bool interrupted = false;    // by interrupt_fd
  std::optional<Error> lost;   // the sandbox is gone
  std::string output, errors;  // valid UTF-8, bounded
};

// Waits until the agent's first process ends; what it leaves behind ends with the sandbox.
AgentEnd run_agent(isolation::Sandbox& sandbox, const AgentCommand& command);

}  // namespace gyges::scaffold
