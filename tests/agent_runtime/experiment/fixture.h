// An experiment in a temporary directory, without scenarios or sandboxes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent_runtime/experiment/directory.h"
#include "agent_runtime/experiment/executor.h"
#include "agent_runtime/experiment/experiment.h"
#include "agent_runtime/experiment/index.h"
#include "agent_runtime/experiment/local_executor.h"
#include "agent_runtime/experiment/runner.h"
#include "base/files.h"

namespace gyges::experiment {

// Agents named like the behaviours of fake_worker.cpp; two conditions, "announced" and "off".
Experiment make_experiment(const std::vector<std::string>& agents, std::uint32_t repeats);

// What an experiment file's names resolve to: scenarios s1, s2, any agent; agent "bad" fails.
Sources fake_sources();

// Whether run.json is what the fake seal says.
bool fake_bundle_is_whole(const std::filesystem::path& bundle);

struct Carried {
  Result<RunnerSummary> summary;
  std::vector<std::string> recovered;
};

// Opens the directory, registers, recovers and runs to the end with fake workers.
Carried carry_out_with_fake_workers(const Experiment& experiment,
                                    const std::filesystem::path& directory,
                                    const RunnerOptions& options = {}, unsigned jobs = 2,
                                    const std::string& worker_mode = {});

TemporaryDirectory temporary_directory();

// Lines of a file; none where there is no file.
std::vector<std::string> lines_of(const std::filesystem::path& file);

}  // namespace gyges::experiment
