// One process inside the sandbox on behalf of a tool call, with its output pumped into a window of
// bounded size: no amount of output blocks the process for ever, fills memory, or hangs the call.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tools/tool.h"

namespace gyges::tools {

struct ProcessRequest {
  std::vector<std::string> argv;
  std::string standard_input;  // all of it; empty: /dev/null
};

// Runs until the first process ends, then for a short grace while others still hold its output: a
// background process does not keep the call. At the timeout the whole process group is killed.
// The result carries status and output as the model reads them.
ToolResult run_in_sandbox(const ToolContext& context, const ProcessRequest& request);

}  // namespace gyges::tools
