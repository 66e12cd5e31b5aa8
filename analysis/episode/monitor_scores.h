// What monitors said of a run while it went on: verdicts in its transcript.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "analysis/bundles/run.h"

namespace gyges::analysis {

struct MonitorScore {
  std::optional<double> score;  // the highest, 0 to 1; none where it could never say
  bool flagged = false;         // at some moment
};

// By the monitor's name. Verdicts that a gate asked for count as well. Empty without a transcript.
std::map<std::string, MonitorScore> monitor_scores(const Run& run);

}  // namespace gyges::analysis
