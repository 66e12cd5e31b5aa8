// An MCP server that runs inside a sandbox as a program of a scenario's, spoken to over its
// standard streams. Whatever it sends is hostile: bounded in size, number and time, and never more
// than text for the model.
//
// One owner; used by the thread that uses the sandbox.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "tools/mcp/pipe_peer.h"
#include "tools/tool.h"

namespace gyges::mcp {

struct ServerDeclaration {
  std::string name;                  // [a-z0-9_]{1,32}: a part of its tools' names
  std::vector<std::string> command;  // argv, of a program inside the sandbox
};

struct ClientLimits {
  std::chrono::milliseconds start{15'000};  // for initialize and the list of tools
  std::size_t tools = 128;
  std::size_t tool_bytes = 64U << 10U;  // of one tool's declaration
  PipePeer::Limits messages;
};

class ToolServer {
 public:
  // Starts the program and asks it for its tools. `environment` is that of tool processes;
  // `sandbox` is borrowed and outlives the server.
  static Result<std::unique_ptr<ToolServer>> start(isolation::Sandbox& sandbox,
                                                   const ServerDeclaration& declaration,
                                                   const std::vector<std::string>& environment,
                                                   const std::string& directory,
                                                   const ClientLimits& limits = {});
  // Ends the program.
  ~ToolServer();
  ToolServer(const ToolServer&) = delete;
  ToolServer& operator=(const ToolServer&) = delete;

  // Named mcp__SERVER__TOOL, in the order of their names; they live as long as the server. A tool
  // whose name or declaration is not usable is left out; see left_out().
  [[nodiscard]] const std::vector<std::unique_ptr<tools::Tool>>& tools() const { return tools_; }
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

  // What a tool's run() does.
  tools::ToolResult call(const std::string& tool, const nlohmann::json& arguments,
                         const tools::ToolContext& context);

 private:
  ToolServer(isolation::Sandbox& sandbox, ClientLimits limits, std::string name)
      : sandbox_(sandbox), limits_(limits), name_(std::move(name)) {}
  Status begin();
  Status list_tools(std::chrono::steady_clock::time_point deadline);
  void add_tool(const nlohmann::json& declaration);

  isolation::Sandbox& sandbox_;
  ClientLimits limits_;
  std::string name_;
  std::uint32_t command_ = 0;
  std::unique_ptr<PipePeer> peer_;
  std::vector<std::unique_ptr<tools::Tool>> tools_;
  std::size_t left_out_ = 0;
};

}  // namespace gyges::mcp
