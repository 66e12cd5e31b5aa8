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
#include "tools/mcp/server_declaration.h"
#include "tools/tool.h"

namespace gyges::mcp {

struct ClientLimits {
  std::size_t tools = 128;
  std::size_t tool_bytes = 64U << 10U;  // of one tool's declaration
  std::size_t tools_bytes = 1U << 20U;  // of all
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

  // In the order of their names; they live as long as the server. A tool whose name or declaration
  // is not usable is left out.
  [[nodiscard]] const std::vector<std::unique_ptr<tools::Tool>>& tools() const { return tools_; }
  struct LeftOut {
    std::string tool;  // printable and bounded
    std::string reason;
  };
  [[nodiscard]] const std::vector<LeftOut>& examples_left_out() const { return examples_; }
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

  // As it called itself: printable and bounded.
  [[nodiscard]] const std::string& title() const { return title_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  // Why it is of no more use; empty while it is.
  [[nodiscard]] const std::string& ended() const { return ended_; }

  // What a tool's run() does. The server's process is labelled with the call while it works on it.
  tools::ToolResult call(const std::string& tool, const nlohmann::json& arguments,
                         const tools::ToolContext& context);

 private:
  ToolServer(isolation::Sandbox& sandbox, const ServerDeclaration& declaration,
             const ClientLimits& limits);
  Status spawn(const ServerDeclaration& declaration, const std::vector<std::string>& environment,
               const std::string& directory);
  Status begin(std::chrono::steady_clock::time_point deadline);
  Status list_tools(std::chrono::steady_clock::time_point deadline);
  std::string add_tool(const nlohmann::json& declaration);
  void leave_out(std::string tool, std::string reason);
  void end(const std::string& reason, bool by_itself = true);

  isolation::Sandbox& sandbox_;
  ClientLimits limits_;
  std::string name_;
  std::string prefix_;
  std::vector<std::string> wanted_;
  std::string title_;
  std::string ended_;
  std::uint32_t command_ = 0;
  std::unique_ptr<PipePeer> peer_;
  std::vector<std::unique_ptr<tools::Tool>> tools_;
  std::size_t tools_bytes_ = 0;
  std::vector<LeftOut> examples_;
  std::size_t left_out_ = 0;
};

}  // namespace gyges::mcp
