// The conversation of one episode: model reply, tool calls, results, and again, until the agent
// submits or stops, or a limit ends it.
//
// Several calls in one reply are executed one after the other, in the order in which the model gave
// them, and answered together: one sandbox, one call in progress, and every system call belongs to
// exactly one of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/episode/interruption.h"
#include "agent_runtime/episode/scenario.h"
#include "agent_runtime/episode/totals.h"
#include "agent_runtime/episode/transcript.h"
#include "agent_runtime/episode/watcher.h"
#include "agent_runtime/model/model_client.h"
#include "base/error.h"

namespace gyges::isolation {
class Sandbox;
}
namespace gyges::recorder {
class Session;
}

namespace gyges::episode {

struct AgentLoop {
  model::ModelClient& model;
  isolation::Sandbox& sandbox;
  recorder::Session* session = nullptr;  // null: not recorded
  Transcript& transcript;
  ToolApprover& approver;
  Watcher* watcher = nullptr;  // null: nobody looks on
  std::string system_prompt;
  std::string user_prompt;
  const tools::ToolSet& tools;
  tools::ToolState& state;
  tools::OutputStore* store = nullptr;
  std::vector<std::string> environment;  // of tool processes
  std::string home;
  std::uint64_t output_bytes = 65536;  // of one call, as the model is given it
  ScenarioLimits limits;
  std::chrono::steady_clock::time_point deadline;
  std::uint64_t seed = 0;
  const Interruption& interruption;
};

struct LoopEnd {
  // submitted, turn_limit, tool_call_limit, token_limit, cost_limit, time_limit,
  // working_time_limit, output_limit, context_limit, terminated, agent_stopped, error
  std::string kind;
  std::string reason;  // in words; empty when submitted
  std::string report;  // as submitted, or the last words of an agent that stopped
  Totals totals{};
};

// Never fails: what goes wrong is the end, with kind "error". The transcript is complete, its "end"
// line included, unless writing it is what went wrong. Limits that ended it are noted in the
// sandbox.
LoopEnd run_agent_loop(const AgentLoop& loop);

}  // namespace gyges::episode
