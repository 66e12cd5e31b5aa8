// The MCP servers of a scenario in a third-party agent's own configuration: the agent starts them,
// or reaches them over HTTP, and offers their tools under names of its own making.
#pragma once

#include <string>
#include <vector>

#include "agent_runtime/scaffold/scaffold.h"
#include "base/error.h"
#include "sandbox/cues/text_template.h"
#include "tools/mcp/server_declaration.h"

namespace gyges::scaffold {

// Writes the servers into the files, the command line and the environment of `scaffold`, as its
// profile says. An agent that knows no MCP servers, or not how to offer only some of a server's
// tools where the scenario asks for that, is an error. `tools`: the server of command tools, if
// there are any; an agent that cannot be told of it goes without, and `scaffold.tools` stays empty.
Status add_mcp_servers(const std::vector<mcp::ServerDeclaration>& servers, const ToolHost& tools,
                       const cues::TemplateContext& context, Scaffold& scaffold);

}  // namespace gyges::scaffold
