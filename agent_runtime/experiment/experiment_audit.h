// The audit of an experiment's conditions before its first run, kept in the experiment's directory
// (audit.json): a resumed experiment does not repeat it, one whose worlds have changed does.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "agent_runtime/experiment/experiment.h"
#include "base/error.h"

namespace gyges::experiment {

struct ExperimentAudit {
  bool repeated = true;                 // false: the one that stands in the directory holds
  std::size_t differences = 0;          // as declared
  std::vector<std::string> undeclared;  // "log_retention: K1.uname.nodename", for people
};

struct ExperimentAuditOptions {
  bool allow_undeclared = false;  // go on, and let the record say so
  std::vector<std::string> allow_degraded;
  std::function<bool()> stop;  // true ends an audit that is being made with an error
  // Before each scenario of an audit that is being made: how many are done, and of how many.
  std::function<void(std::size_t, std::size_t)> report;
};

// Every scenario under every condition, twice in turns. An undeclared difference is an error that
// names it and its cures, unless it is allowed; either way audit.json says what was found. One that
// was stopped leaves nothing behind.
Result<ExperimentAudit> audit_experiment(const Experiment& experiment,
                                         const std::filesystem::path& directory,
                                         const ExperimentAuditOptions& options);

std::filesystem::path audit_file(const std::filesystem::path& directory);

}  // namespace gyges::experiment
