// An experiment with its directory, ready to be carried out: the steps that stand before the first
// run, in the one order in which they are safe.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/experiment/directory.h"
#include "agent_runtime/experiment/experiment.h"
#include "agent_runtime/experiment/index.h"
#include "agent_runtime/experiment/plan.h"
#include "agent_runtime/experiment/record.h"
#include "agent_runtime/experiment/sources.h"
#include "base/error.h"

namespace gyges::experiment {

struct OpenExperiment {
  Experiment experiment;
  Record record;
  std::vector<Slot> plan;
  ExperimentDirectory directory;
  Index index;
  std::vector<std::string> recovered;  // runs of a killed runner that turned out to be finished
};

// Loads and checks the file (absent: the one that the directory's record names), takes the
// directory's lock, writes or compares the record, recovers what a killed runner left, brings the
// index up to date. Nothing is created when the file is bad.
Result<OpenExperiment> open_experiment(const std::filesystem::path& directory,
                                       const std::optional<std::filesystem::path>& file,
                                       const Sources& sources, const BundleCheck& is_whole);

}  // namespace gyges::experiment
