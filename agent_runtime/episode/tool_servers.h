// The MCP servers of one episode: programs of the scenario's that run inside its sandbox and offer
// tools to the agent. One owner, the thread of the episode.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "tools/mcp/server_declaration.h"

namespace gyges::isolation {
class Sandbox;
}
namespace gyges::mcp {
class ToolServer;
}
namespace gyges::tools {
class ToolSet;
}

namespace gyges::episode {

class ToolServers {
 public:
  ToolServers();
  ~ToolServers();
  ToolServers(const ToolServers&) = delete;
  ToolServers& operator=(const ToolServers&) = delete;

  // Starts all of them, in order, and adds their tools to `tools`, which borrows them. One that
  // does not start is an error. `environment` and `directory` are those of tool processes;
  // `sandbox` outlives this.
  Status start(isolation::Sandbox& sandbox, const std::vector<mcp::ServerDeclaration>& servers,
               const std::vector<std::string>& environment, const std::string& directory,
               tools::ToolSet& tools);

  // What run.json says of them: tools offered and left out, and how each of them ended before the
  // episode did. null where there are none.
  [[nodiscard]] nlohmann::json to_json() const;

 private:
  std::vector<std::unique_ptr<mcp::ToolServer>> servers_;
};

}  // namespace gyges::episode
