// An episode whose agent is a program of somebody else's in the sandbox: the endpoint that it takes
// for its model's vendor, the run of the program, and the join of its calls with its processes.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "agent_runtime/episode/agent_loop.h"
#include "agent_runtime/episode/scenario.h"
#include "agent_runtime/gateway/model_endpoint.h"
#include "agent_runtime/gateway/outlet_server.h"
#include "agent_runtime/gateway/tool_endpoint.h"
#include "agent_runtime/model/agent_file.h"
#include "agent_runtime/scaffold/scaffold.h"
#include "base/error.h"

namespace gyges::isolation {
class Sandbox;
}
namespace gyges::recorder {
class Session;
}

namespace gyges::episode {

struct ThirdPartyRun {
  isolation::Sandbox& sandbox;
  recorder::Session* session = nullptr;  // null: not recorded
  Transcript& transcript;
  std::filesystem::path bundle;
  std::vector<std::string> environment;
  std::string home;
  std::uint64_t output_bytes = 65536;
  ScenarioLimits limits;
  std::chrono::steady_clock::time_point deadline;
  std::uint64_t seed = 0;
  gateway::Oversight oversight;  // its deadline is that of the run
  // Those that the scaffold has a server for, with no text empty.
  std::vector<tools::ToolSpec> tools;
  tools::OutputStore* store = nullptr;  // borrowed; of their longer outputs; null: they are cut
  tools::ToolState* state = nullptr;    // borrowed; mailbox and colleague; null: neither
  int interrupt_fd = -1;                // borrowed; see EpisodeRequest
};

// Thread-safety: connect() by whichever thread starts a sandbox; the rest by the episode's thread.
class ThirdParty {
 public:
  // `agent` is the model behind the endpoint; `scaffold` the program. Both are copied.
  static Result<std::unique_ptr<ThirdParty>> create(const model::AgentFile& agent,
                                                    scaffold::Scaffold scaffold);

  // For SandboxSpec::outlet.
  Result<UniqueFd> connect() { return server_.connect(); }

  // For SessionOptions::call_of; lives as long as this.
  [[nodiscard]] gateway::CallBook& book() { return book_; }

  // Runs the agent to its end. The transcript is complete then, its "end" line included.
  LoopEnd run(const ThirdPartyRun& run);

  // After the trace is closed: writes processes.jsonl.
  Status join(const std::filesystem::path& bundle) const;

  [[nodiscard]] const scaffold::Scaffold& scaffold() const { return scaffold_; }

 private:
  ThirdParty(const model::AgentFile& agent, scaffold::Scaffold scaffold);
  // Says in `options` what stands behind.
  Result<gateway::Complete> model_for(const ThirdPartyRun& run,
                                      gateway::EndpointOptions& options) const;
  // Null where the agent is not told of command tools. Both arguments outlive what is given.
  Result<std::unique_ptr<gateway::ToolEndpoint>> tools_for(const ThirdPartyRun& run,
                                                           gateway::ModelEndpoint& endpoint) const;
  Result<LoopEnd> run_to_end(const ThirdPartyRun& run);

  model::AgentFile agent_;
  scaffold::Scaffold scaffold_;
  gateway::CallBook book_;
  std::mutex mutex_;
  gateway::ModelEndpoint* endpoint_ = nullptr;  // while the agent runs
  gateway::ToolEndpoint* tools_ = nullptr;      // likewise; null: there are no command tools
  std::vector<gateway::WireCall> calls_;
  gateway::OutletServer server_;
};

}  // namespace gyges::episode
