// What detectors saw from inside before the runs: audit.json of the experiments that they belong
// to.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "analysis/comparison/comparison.h"

namespace gyges::analysis {

// [{"directory", "made_at", "undeclared_allowed", "scenarios": [...] as in audit.json, "problem"}],
// one for each experiment directory that has one, sorted by directory; what cannot be read has its
// problem and no scenarios. All text is printable.
nlohmann::json audits_json(const Comparison& comparison);

}  // namespace gyges::analysis
