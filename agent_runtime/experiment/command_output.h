// Runs a short command and takes what it prints: the batch system's own tools.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::experiment {

struct CommandOutput {
  int status = 0;  // exit status; 128 + signal
  std::string out;
  std::string errors;
};

// argv[0] is looked for in PATH. At most 16 MiB of output; a command that takes longer than `limit`
// is killed and an error.
Result<CommandOutput> run_command(const std::vector<std::string>& argv,
                                  std::chrono::milliseconds limit = std::chrono::seconds(60));

}  // namespace gyges::experiment
