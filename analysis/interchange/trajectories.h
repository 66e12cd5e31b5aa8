// Episodes as trajectories of other frameworks. docs/interchange.md says what goes where.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "analysis/store/read_runs.h"
#include "base/error.h"

namespace gyges::analysis {

// One file RUN_ID.json for each run, in the Agent Trajectory Interchange Format, version 1.4.
Status export_atif(const std::vector<StoredRun>& runs, const std::filesystem::path& directory);

// trajectory.jsonl (one run a line), tools.json and metadata.json, as ControlArena's `trajectory
// export` arranges them, with messages in the form of Anthropic's interface.
Status export_control_arena(const std::vector<StoredRun>& runs,
                            const std::filesystem::path& directory);

}  // namespace gyges::analysis
