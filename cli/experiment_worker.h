// `gyges experiment worker`: the hidden subcommand that a runner starts to run episodes in.
#pragma once

#include <string>
#include <vector>

namespace gyges::cli {

struct WorkerOptions {
  std::string recorder = "auto";
  std::vector<std::string> allow_degraded;  // names of isolation/degradation.h
  int parent = 0;    // process id of the runner; 0: not bound to one
  std::string slurm_batch;  // directory of a batch whose task this is; empty: of a local runner
  std::size_t slurm_task = 0;
  int lock_fd = -1;  // descriptor with the experiment's lock, to be kept and not passed on
};

// Serves assignments from standard input until its end, or those of a Slurm task. Returns the exit status.
int run_experiment_worker(const WorkerOptions& options);

}  // namespace gyges::cli
