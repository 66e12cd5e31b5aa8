// The time of day as records state it.
#pragma once

#include <string>

namespace gyges::experiment {

std::string utc_now();    // "2026-11-21T09:00:00.000Z"
std::string utc_today();  // "2026-11-21"

}  // namespace gyges::experiment
