// Facts that can be read in several ways must be the same in all of them: contradictions betray
// more than values.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/cues/audit/leak.h"
#include "sandbox/cues/audit/reading.h"

namespace gyges::cues {

struct Contradiction {
  std::string fact;                             // "release of the kernel"
  std::map<std::string, std::string> readings;  // channel -> what it says
  // Critical, but for what hardly any program reads and nothing in a sandbox can change.
  Severity severity = Severity::critical;
  std::string_view hidden_by;
};

std::vector<Contradiction> find_contradictions(const Reading& reading);

}  // namespace gyges::cues
