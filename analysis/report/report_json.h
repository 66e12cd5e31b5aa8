// A comparison as JSON: what `gyges compare --json` prints and the HTML report shows
// (docs/comparison.md describes every member). The same comparison gives the same bytes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "analysis/comparison/comparison.h"

namespace gyges::analysis {

// Figures that do not exist are null, with the reason beside them.
nlohmann::json report_json(const Comparison& comparison);

// The JSON for the HTML report: report_json and a side-by-side timeline of one pair.
nlohmann::json report_json_with_timeline(const Comparison& comparison);

// Text of the JSON; bytes that are no UTF-8 become U+FFFD.
std::string json_text(const nlohmann::json& json, int indent);

}  // namespace gyges::analysis
