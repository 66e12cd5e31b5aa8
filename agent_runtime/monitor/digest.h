// What processes did in one scene, in few lines: for a reader with a bounded attention.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "agent_runtime/monitor/observation.h"

namespace gyges::monitor {

// One line of JSON each: programs started, files changed, addresses sought and calls refused come
// first and each with its id, opened files after them; what is over `lines` is counted in a last
// line. Strings from inside are JSON strings: no line can be forged. `ids` gets those shown.
std::vector<std::string> digest_of(const std::vector<SeenEvent>& events, std::size_t lines,
                                   std::set<std::string>& ids);

}  // namespace gyges::monitor
