// The audit: what several conditions look like from inside, in one statement. Its three questions
// are difference.h, leak.h and consistency.h; report.h makes it text and JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/audit/claim.h"
#include "sandbox/cues/audit/consistency.h"
#include "sandbox/cues/audit/difference.h"
#include "sandbox/cues/audit/leak.h"

namespace gyges::cues {

// A condition and how to read it once: probe_sandbox(), probe_container(), or a file.
struct ConditionToAudit {
  std::string name;  // unique
  Claim claim = Claim::nothing;
  std::function<Result<std::string>()> read;
  // What an agent is told and given beside what the probe can read (prompt/system, tool:NAME):
  // hashes.
  std::map<std::string, std::string> told;
};

struct AuditOptions {
  std::uint32_t rounds = 3;  // readings of each condition, in turns; at least 1
  // Further rounds while an undeclared difference stands: what is chance goes away.
  std::uint32_t confirming_rounds = 3;
};

struct ConditionAudit {
  std::string name;
  Claim claim = Claim::nothing;
  std::vector<Leak> leaks;
  std::vector<Contradiction> contradictions;  // of every reading of it
  std::uint64_t microseconds = 0;             // of the slowest reading
};

struct Audit {
  std::vector<ConditionAudit> conditions;
  DifferenceReport difference;
  std::uint32_t rounds = 0;

  [[nodiscard]] std::vector<const Difference*> undeclared() const;
  [[nodiscard]] std::size_t leaks_from(Severity severity) const;
  [[nodiscard]] std::size_t contradictions_from(Severity severity) const;
};

Result<Audit> audit(const std::vector<ConditionToAudit>& conditions, const Declared& declared,
                    const AuditOptions& options);

}  // namespace gyges::cues
