// Factors that scenarios use by name: policies/factors, in the form of
// policies/schemas/factor.schema.json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::episode {

// Names of the shipped factors, sorted.
std::vector<std::string> factor_names();

// A factor of a scenario, whole: one that says {"use": NAME} with the levels of the shipped one,
// whose bytes are appended to `hashed`, and with what those levels bring along (files, variables)
// among its observables; any other as it is. `value` matches the scenario's schema; `place` names
// it in errors.
Result<nlohmann::json> used_factor(const nlohmann::json& value, const std::string& place,
                                   std::string& hashed);

}  // namespace gyges::episode
