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

// The same for a tool that needs the bytes themselves: up to `limit` of the process's output. More
// is an error result. `bytes` is set where the result has not failed.
ToolResult read_in_sandbox(const ToolContext& context, std::vector<std::string> argv,
                           std::size_t limit, std::string& bytes);

// How much of a call's output the model is given, in bytes, and the entry among the limits of a run
// where that was not all.
std::size_t window_bytes(const ToolContext& context);
void note_truncation(const ToolContext& context, const Output& output);

// Puts `note`, where there is one, on a line of its own below the output.
void add_note(std::string& output, const std::string& note);

}  // namespace gyges::tools
