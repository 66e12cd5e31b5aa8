// A comparison as JSON: what `gyges compare --json` prints and the HTML report shows
// (docs/comparison.md describes every member). The same comparison gives the same bytes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "analysis/comparison/comparison.h"

namespace gyges::analysis {

// Figures that do not exist are null, with the reason beside them.
nlohmann::json report_json(const Comparison& comparison);

// What the page shows before an episode is opened: report_json, what monitors said of each run
// and which cues it looked at, and of each contrast the pairs of runs by index, whose timelines
// stand side by side; "telling": the pair that shows most.
nlohmann::json report_json_with_timeline(const Comparison& comparison);

// Text of the JSON; bytes that are no UTF-8 become U+FFFD.
std::string json_text(const nlohmann::json& json, int indent);

}  // namespace gyges::analysis
