// A Slurm of one controller and one node on loopback, with directories of its own.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/files.h"
#include "tests/agent_runtime/experiment/started_command.h"

namespace gyges::experiment {

class SlurmCluster {
 public:
  // Null, with the reason, where it cannot run. SLURM_CONF is set to it for this process.
  static std::unique_ptr<SlurmCluster> start(std::size_t largest_array, std::string& reason);
  ~SlurmCluster();

 private:
  SlurmCluster() : directory_(*TemporaryDirectory::create("slurm")) {}
  bool start_daemons(std::size_t largest_array);
  bool is_ready() const;

  TemporaryDirectory directory_;
  std::unique_ptr<StartedCommand> munged_;
  std::unique_ptr<StartedCommand> controller_;
  std::unique_ptr<StartedCommand> node_;
};

}  // namespace gyges::experiment
