// What no backend can see, in words for the coverage statement.
#pragma once

#include <string>
#include <vector>

#include "sandbox/recorder/format/coverage.h"

namespace gyges::recorder {

std::vector<std::string> not_observable(Backend backend);

}  // namespace gyges::recorder
