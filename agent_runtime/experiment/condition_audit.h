// The conditions of a scenario as they look from inside: which of what differs the factors declare.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/audit/audit.h"

namespace gyges::recorder {
class Recorder;
}

namespace gyges::experiment {

struct ConditionsToAudit {
  std::filesystem::path scenario;  // directory
  // Name and levels; factors that are left out have their default.
  std::vector<std::pair<std::string, std::map<std::string, std::string>>> conditions;
  std::optional<std::string> policy;  // absent: the scenario's
  std::optional<std::string> day;     // as of an episode; absent: now, one moment for all
  std::uint64_t seed = 0;
  std::vector<std::string> allow_degraded;
  std::vector<std::string> channels;       // beginnings of the channels to read; empty: all
  std::optional<cues::Claim> claim;        // absent: the persona's
  recorder::Recorder* recorder = nullptr;  // borrowed; null: nothing is recorded
  std::function<bool()> stop;  // asked before every reading; true ends the audit with an error
};

// Starts a sandbox for every reading. Beside the channels of the probe, every file of the world is
// read (at most max_world_files) and what the agent is told is compared by its hashes.
Result<cues::Audit> audit_conditions(const ConditionsToAudit& request,
                                     const cues::AuditOptions& options);
inline constexpr std::size_t max_world_files = 600;

// The default condition, and every other level of every factor with all else at its default.
Result<std::vector<std::pair<std::string, std::map<std::string, std::string>>>> single_changes(
    const std::filesystem::path& scenario);

}  // namespace gyges::experiment
