// An audit as JSON and as a table for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sandbox/cues/audit/audit.h"

namespace gyges::cues {

// {"conditions": [...], "rounds", "channels", "noise", "undeclared",
//  "differences": [{"channel", "how", "values": {condition: text}, "declared"}],
//  "leaks": [{"channel", "severity", "value", "hidden_by", "speaks_of", "meaning", "conditions":
//  [...]}], "contradictions": [{"fact", "readings": {channel: text}, "conditions": [...]}]}
nlohmann::json audit_to_json(const Audit& audit);

// Printable text that ends in a line feed. `all` shows leaks of every severity, else those from
// medium on and how many there are below.
std::string audit_to_text(const Audit& audit, bool all);

}  // namespace gyges::cues
