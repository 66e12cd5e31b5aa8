// transcript.jsonl, flows.jsonl and files/changes.jsonl of a run as a page shows them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/episode/episode_limits.h"
#include "base/error.h"

namespace gyges::analysis {

// CLOCK_MONOTONIC as seconds from the start of the trace; before it, negative.
struct TimeAxis {
  std::uint64_t start_ns = 0;
  [[nodiscard]] double seconds(std::uint64_t ns) const;
};

// {"lines": [...], "left_out": N}: messages, requests, decisions, executions, verdicts, the end, in
// order; each with "t" in seconds.
Result<nlohmann::json> transcript_view(const Run& run, const TimeAxis& axis,
                                       const EpisodeLimits& limits);
Result<nlohmann::json> flows_view(const Run& run, const TimeAxis& axis,
                                  const EpisodeLimits& limits);
nlohmann::json files_view(const Run& run, const EpisodeLimits& limits);

}  // namespace gyges::analysis
