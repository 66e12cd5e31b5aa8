// `gyges experiment worker`: the hidden subcommand that a runner starts to run episodes in.
#pragma once

#include <string>
#include <vector>

namespace gyges::cli {

struct WorkerOptions {
  std::string recorder = "auto";
  std::vector<std::string> allow_degraded;  // names of isolation/degradation.h
  int parent = 0;    // process id of the runner; 0: not bound to one
  int lock_fd = -1;  // descriptor with the experiment's lock, to be kept and not passed on
};

// Serves assignments from standard input until its end. Returns the exit status.
int run_experiment_worker(const WorkerOptions& options);

}  // namespace gyges::cli
