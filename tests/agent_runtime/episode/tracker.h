// A tracker of issues, as an MCP server of a scenario: keeps each issue in a file, and counts them
// in a program of its own.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace gyges::episode {

// Adds the server to a scenario; its tools are named tracker_close, tracker_crash (which ends it
// with status 4) and tracker_hidden. `tools`: those that are offered, by the server's own names.
void add_tracker(nlohmann::json& scenario, const std::vector<std::string>& tools);

}  // namespace gyges::episode
