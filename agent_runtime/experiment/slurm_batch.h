// What a runner and its Slurm tasks share: a directory with assignments and answers.
//
//   DIR/slurm/jobs                  ids of jobs that may still have tasks, one a line
//   DIR/slurm/<batch>/task.sh       what each task executes
//   DIR/slurm/<batch>/tasks/N       assignments of task N, one a line (worker_protocol.h)
//   DIR/slurm/<batch>/answers/N     what the worker says, one message a line; only ever grows
//   DIR/slurm/<batch>/log/N.log     its standard output and errors
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "agent_runtime/experiment/worker.h"
#include "agent_runtime/experiment/worker_protocol.h"
#include "base/error.h"

namespace gyges::experiment {

class SlurmBatch {
 public:
  // Makes the next free batch below `directory`/slurm with one file for each task. `command` is the
  // worker's argv, to which the batch and the task's number are added.
  static Result<SlurmBatch> create(const std::filesystem::path& directory,
                                   const std::vector<std::vector<Assignment>>& tasks,
                                   const std::vector<std::string>& command);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path script() const { return path_ / "task.sh"; }
  [[nodiscard]] std::filesystem::path logs() const { return path_ / "log"; }
  // Whole messages from byte `offset` on, which moves behind them. None while the task has said
  // nothing more. An error: what stands there is no message.
  Result<std::vector<WorkerMessage>> answers(std::size_t task, std::uint64_t& offset) const;
  // The end of what the task printed, for people.
  [[nodiscard]] std::string last_words(std::size_t task) const;
  void remove() const;

 private:
  explicit SlurmBatch(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// Job ids in DIR/slurm/jobs, and what replaces them.
Result<std::vector<std::string>> slurm_jobs_of(const std::filesystem::path& directory);
Status note_slurm_job(const std::filesystem::path& directory, const std::string& job);
Status forget_slurm_jobs(const std::filesystem::path& directory);

// The task's side. Serves the assignments of task `number` that have no answer yet: a task that
// Slurm has requeued goes on where it was, and what a killed attempt left at the run's place is
// removed.
Status serve_slurm_task(const std::filesystem::path& batch, std::size_t number,
                        const std::string& backend, const EpisodePreparer& prepare);
// Says that nothing can be executed here.
Status refuse_slurm_task(const std::filesystem::path& batch, std::size_t number,
                         const Error& error);

}  // namespace gyges::experiment
