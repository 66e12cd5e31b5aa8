// All tools, by name.
#pragma once

#include <string_view>
#include <vector>

#include "tools/tool.h"

namespace gyges::tools {

// Null when there is no such tool. The tools live as long as the program.
const Tool* find_tool(std::string_view name);
std::vector<std::string_view> tool_names();

// Finds the tool, checks the arguments (the text of a JSON object) and runs it. Whatever a model
// sends gives a result, never a failure of Gyges.
ToolResult call_tool(const ToolContext& context, std::string_view name, std::string_view arguments);

}  // namespace gyges::tools
