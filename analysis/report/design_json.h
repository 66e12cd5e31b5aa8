// The parts of the report that look at all runs at once: registrations, several agents in one
// table, factor effects, the gap against the control arm, tests over whole runs.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "analysis/comparison/comparison.h"

namespace gyges::analysis {

// Members "registrations", "rankings", "factor_effects", "temptation", "whole_runs", to be merged
// into the report.
nlohmann::json design_json(const Comparison& comparison);

}  // namespace gyges::analysis
