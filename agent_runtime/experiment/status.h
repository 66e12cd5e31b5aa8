// How far an experiment is, from its directory alone: works while a runner is at it, and when the
// experiment file is gone. Changes nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent_runtime/experiment/directory.h"
#include "base/error.h"

namespace gyges::experiment {

struct ConditionStatus {
  std::string condition;
  std::size_t planned = 0;
  std::size_t finished = 0;
  std::map<std::string, std::uint64_t> exits;  // finished runs by exit kind, as far as indexed
  std::uint64_t lost = 0;                      // events lost in them
};

struct ExperimentStatus {
  std::string name;
  std::string sha256;
  std::string registered_at;
  bool running = false;  // a runner, or a worker of one, holds the lock
  std::size_t planned = 0;
  std::size_t finished = 0;
  std::size_t indexed = 0;  // finished runs that the index knows
  std::vector<ConditionStatus> conditions;
  std::vector<FailedAttempt> failures;  // failed attempts at runs that are not finished
};

Result<ExperimentStatus> experiment_status(const std::filesystem::path& directory);

}  // namespace gyges::experiment
