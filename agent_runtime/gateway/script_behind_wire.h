// A scripted model behind the endpoint: the script's calls are said with the names of the tools
// that the agent offers, and the agent's results are handed back to the script.
//
// It keeps nothing between requests. Agents send the whole conversation each time, so the script is
// run anew along it: a repeated request gets the same reply, a side conversation (titles,
// summaries, subagents) does not disturb the main one.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent_runtime/model/model_request.h"
#include "agent_runtime/model/script.h"
#include "agent_runtime/scaffold/scaffold.h"
#include "base/error.h"
#include "base/pattern.h"

namespace gyges::gateway {

class ScriptBehindWire {
 public:
  // `failed`: the profile's expression for results of commands that failed; may be empty.
  static Result<ScriptBehindWire> create(std::shared_ptr<const model::Script> script,
                                         std::uint64_t seed, std::vector<scaffold::ShellTool> shell,
                                         const std::string& failed,
                                         std::vector<scaffold::McpServer> servers = {});

  // A request that offers no shell tool gets a short text. A call of a tool of an MCP server, by
  // the scenario's name for it, is said by the agent's name. A call that has no form as a command
  // line, and no tool of its name among those offered, is an error.
  [[nodiscard]] Result<model::Reply> complete(const model::ModelRequest& request) const;

 private:
  ScriptBehindWire() = default;
  [[nodiscard]] bool failed_by(const std::string& text) const;
  // It asks for a tool of a server, which is no step of the script.
  [[nodiscard]] bool searches_only(const model::Message& message) const;
  [[nodiscard]] Result<model::Reply> said(model::Reply reply, const model::ModelRequest& request,
                                          std::size_t step) const;

  std::shared_ptr<const model::Script> script_;
  std::uint64_t seed_ = 0;
  std::vector<scaffold::ShellTool> shell_;
  std::vector<scaffold::McpServer> servers_;
  std::shared_ptr<const Pattern> failed_;
};

// The command line that does what one of Gyges's own tools does; an error where there is none.
// `arguments` is the text of a JSON object.
Result<std::string> command_of(const std::string& tool, const std::string& arguments);

// The command lines that a call on the wire asks for: empty where its tool is not among `shell`, or
// carries a script.
std::vector<std::string> commands_in(const model::ToolCall& call,
                                     const std::vector<scaffold::ShellTool>& shell);

}  // namespace gyges::gateway
