// What happens to jobs on a real cluster while nobody looks: tasks are cancelled, requeued, and
// their processes killed, as the dice fall.
#pragma once

#include <cstddef>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace gyges::experiment {

class SlurmDisturbance {
 public:
  // `directory` of the experiment; seed 0 is as good as any.
  SlurmDisturbance(std::filesystem::path directory, unsigned seed)
      : directory_(std::move(directory)), random_(seed) {}

  // Does one of the three to a task that runs, in turns; nothing where none does.
  void strike();
  // Lets requeued tasks start in seconds instead of minutes.
  void hasten();

  std::size_t cancelled = 0;
  std::size_t requeued = 0;
  std::size_t killed = 0;

 private:
  std::string running_task();
  void kill_a_worker();

  std::filesystem::path directory_;
  std::mt19937 random_;
  std::size_t turn_ = 0;
  std::vector<std::string> held_;  // requeued tasks that Slurm holds back
};

}  // namespace gyges::experiment
