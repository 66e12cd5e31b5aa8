// Runs assignments as tasks of Slurm job arrays (--executor slurm). Runner and tasks share nothing
// but the experiment's directory, which every node must see under the same path.
//
// What is submitted between two waits goes into as few arrays as the site allows. A task that ends
// without having answered for all its runs costs the run that it had begun (it is lost, and the
// runner tries it again); runs that it had not begun go into another array. A task that Slurm
// requeues goes on with what it has not answered. Slurm that does not answer is asked again for ten
// minutes.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent_runtime/experiment/executor.h"

namespace gyges::experiment {

struct SlurmExecutorOptions {
  std::filesystem::path directory;   // of the experiment, absolute
  std::vector<std::string> command;  // argv of a worker, as nodes start it
  std::vector<std::string> options;  // for sbatch: "--partition=p"
  std::string name = "gyges";        // of the jobs
  std::size_t jobs = 64;             // tasks at once in each array
  std::size_t in_flight = 10'000;    // assignments that may be with Slurm at once
  std::size_t runs_of_a_task = 1;    // one after the other; more where starting a task is slow
  std::chrono::milliseconds episode_limit{1'800'000};
  std::chrono::milliseconds look_at_answers{500};
  std::chrono::milliseconds ask_slurm{5'000};
  // The answers of a task that has ended may reach this host later than the news of its end.
  std::chrono::milliseconds late_answers{5'000};
};

class SlurmExecutor final : public Executor {
 public:
  // Fails where Slurm does not answer.
  static Result<std::unique_ptr<SlurmExecutor>> create(SlurmExecutorOptions options);
  ~SlurmExecutor() override;

  [[nodiscard]] std::size_t capacity() const override;
  Status submit(const Assignment& assignment) override;
  Result<std::optional<Completion>> wait(std::chrono::milliseconds timeout) override;
  // A task is known to have begun when Slurm says so, or it does.
  [[nodiscard]] std::size_t queued() const override;
  std::vector<std::string> withdraw() override;
  void stop() override;

  // Jobs that may have tasks, for tests.
  [[nodiscard]] std::vector<std::string> jobs() const;

 private:
  struct State;
  explicit SlurmExecutor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Ends jobs that an earlier runner of the directory left behind, and returns when none of their
// tasks is left; how many jobs there were. Nobody may be using the directory.
Result<std::size_t> end_left_slurm_jobs(const std::filesystem::path& directory);

}  // namespace gyges::experiment
