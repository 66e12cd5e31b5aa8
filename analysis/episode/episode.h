// Everything a page shows of one run: transcript, processes, system calls, flows, file changes and
// findings on one time axis, each finding with the ids of what shows it (docs/report.md has every
// member). Texts are printable: whatever the agent wrote, nothing in them steers a terminal or a
// reader; markup in them is the page's to treat as text.
#pragma once

#include <string>

#include "analysis/bundles/run.h"
#include "analysis/episode/episode_limits.h"
#include "analysis/episode/trace_view.h"
#include "analysis/features/findings.h"

namespace gyges::analysis {

// Compact JSON. Reads the bundle. What cannot be read is named inside the JSON, under "problems".
// The same bundle, findings and limits give the same bytes.
std::string load_episode(const Run& run, const Findings& findings, const EpisodeLimits& limits);

// As load_episode(), from a view of the trace under the same limits (narrowed()).
std::string load_episode(const Run& run, const Findings& findings, const EpisodeLimits& limits,
                         const TraceView& view);

}  // namespace gyges::analysis
