// The record of an experiment, written before its first run: what was going to be done, and the
// hash of it. Whoever runs on in the same directory must mean the same experiment.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/experiment/experiment.h"
#include "base/error.h"

namespace gyges::experiment {

struct Record {
  std::string sha256;            // of the resolved form
  std::string created_at;        // UTC, ISO 8601
  std::filesystem::path source;  // the experiment file
  std::string day;
};

// The record in an experiment directory; none if the directory has none. A record whose hash does
// not fit its own text is an error.
Result<std::optional<Record>> read_record(const std::filesystem::path& directory);

// The experiment as its record has it: names, levels, hashes, limits, but no places on this host,
// so it can be planned and counted but not run. An error where there is no record.
Result<Experiment> registered_experiment(const std::filesystem::path& directory);

// Writes the record where there is none. Where there is one, it must be of the same resolved form;
// otherwise the error names every place that differs.
Result<Record> register_experiment(const std::filesystem::path& directory,
                                   const Experiment& experiment);

}  // namespace gyges::experiment
