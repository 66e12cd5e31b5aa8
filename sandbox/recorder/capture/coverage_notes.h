// What no backend can see, in words for the coverage statement.
#pragma once

#include <string>
#include <vector>

#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// Whether the call may have made a ring of io_uring, or used one that came from elsewhere; whatever
// its verdict, which programs of the agent's own can make wrong.
bool used_io_uring(const Event& event);

std::vector<std::string> not_observable(Backend backend);

}  // namespace gyges::recorder
