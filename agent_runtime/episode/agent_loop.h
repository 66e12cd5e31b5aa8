// The conversation of one episode: model reply, tool calls, results, and again, until the agent
// submits or stops, or a limit ends it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/episode/transcript.h"
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
  std::string system_prompt;
  std::string user_prompt;
  std::vector<std::string> tools;        // names
  std::vector<std::string> environment;  // of tool processes
  std::string home;
  std::uint64_t output_bytes = 65536;  // of one call
  std::uint32_t turns = 1;
  std::chrono::seconds tool_timeout{60};
  std::chrono::steady_clock::time_point deadline;
  std::uint64_t seed = 0;
};

struct LoopEnd {
  std::string kind;    // submitted, turn_limit, time_limit, agent_stopped, error
  std::string reason;  // in words; empty when submitted
  std::string report;  // as submitted, or the last words of an agent that stopped
};

// Never fails: what goes wrong is the end, with kind "error". The transcript is complete, its "end"
// line included, unless writing it is what went wrong.
LoopEnd run_agent_loop(const AgentLoop& loop);

}  // namespace gyges::episode
