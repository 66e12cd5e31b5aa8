// The report as one HTML file that needs no network: front end of viewer/, data as JSON inside.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::analysis {

// The text of a JSON value as it may stand inside a script element: whatever its strings hold,
// nothing in it ends the element or opens a comment.
std::string json_for_script(const nlohmann::json& json);

Result<std::string> html_report(const nlohmann::json& report);

}  // namespace gyges::analysis
