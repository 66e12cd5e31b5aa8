// Slurm by its own command line tools (sbatch, squeue, scancel, scontrol): they are what every site
// has, whatever its version and its authentication.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace gyges::experiment {

struct SlurmSubmission {
  std::filesystem::path script;
  std::filesystem::path log_directory;
  std::string name;
  std::size_t tasks = 1;
  std::size_t at_once = 1;           // tasks of the array that run at the same time
  std::uint64_t limit_seconds = 60;  // of a task
  std::vector<std::string> further;  // options of the site: "--partition=p", "--account=a"
};

// The job id. The array's tasks are 0 to tasks - 1.
Result<std::string> slurm_submit(const SlurmSubmission& submission);

// State of every task that Slurm still holds in its queue, by job and task: "PENDING", "RUNNING",
// "COMPLETING", ... A task that is not listed has ended, or its job was never known.
using SlurmTask = std::pair<std::string, std::size_t>;
Result<std::map<SlurmTask, std::string>> slurm_tasks(const std::vector<std::string>& jobs);

// The state in which a task ended, for people ("CANCELLED", "NODE_FAIL", "TIMEOUT"); "unknown" when
// Slurm has forgotten it (MinJobAge).
std::string slurm_end_of(const SlurmTask& task);

// A job that has ended is no error. With `only_pending`, what runs goes on.
Status slurm_cancel(const std::vector<std::string>& jobs, bool only_pending = false);

// The most tasks that an array may have.
Result<std::size_t> slurm_largest_array();

}  // namespace gyges::experiment
