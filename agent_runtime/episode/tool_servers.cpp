#include "agent_runtime/episode/tool_servers.h"

#include "base/hash.h"
#include "base/json.h"
#include "tools/mcp/client.h"
#include "tools/tool_set.h"

namespace gyges::episode {

using nlohmann::json;

ToolServers::ToolServers() = default;
ToolServers::~ToolServers() = default;

Status ToolServers::start(isolation::Sandbox& sandbox,
                          const std::vector<mcp::ServerDeclaration>& servers,
                          const std::vector<std::string>& environment, const std::string& directory,
                          tools::ToolSet& tools) {
  for (const auto& server : servers) {
    GYGES_TRY(auto started, mcp::ToolServer::start(sandbox, server, environment, directory));
    servers_.push_back(std::move(started));
    for (const auto& tool : servers_.back()->tools()) GYGES_CHECK(tools.add(*tool));
  }
  return ok();
}

json ToolServers::to_json() const {
  if (servers_.empty()) return {};
  json list = json::array();
  for (const auto& server : servers_) {
    json offered = json::object();
    for (const auto& tool : server->tools())
      offered[std::string(tool->name())] =
          to_hex(sha256(std::string(tool->description()) + '\0' + std::string(tool->parameters())));
    json examples = json::array();
    for (const auto& one : server->examples_left_out())
      examples.push_back({{"tool", one.tool}, {"reason", one.reason}});
    list.push_back({{"name", server->name()},
                    {"title", server->title()},
                    {"tools", std::move(offered)},
                    {"left_out", server->left_out()},
                    {"examples", std::move(examples)},
                    {"ended", server->ended()}});
  }
  return list;
}

}  // namespace gyges::episode
