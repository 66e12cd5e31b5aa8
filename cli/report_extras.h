// What a report shows beside the comparison: what people said of the runs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::cli {

// {"reviews": [...]}: for each named directory with a review.jsonl, the report that `gyges review
// --report --json` prints, and the directory. Bundles that cannot be read are left out of it, as of
// the comparison.
Result<nlohmann::json> report_extras(const std::vector<std::string>& directories);

}  // namespace gyges::cli
