// Runs assignments in worker processes on this machine.
//
// Workers are started when there is work for them and live until the executor does, so that each
// opens the recorder once. One that is finishing a run is given the next, so that it can prepare it
// meanwhile; should it die before it began that, another worker gets it. A worker that dies costs
// the run it had. Each is a process group of its own, so that Ctrl-C reaches the runner only. What
// a worker writes to its standard error is read and dropped but for the last 4 KiB, which explain
// its death.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent_runtime/experiment/executor.h"

namespace gyges::experiment {

// Where a worker finds the descriptor that holds the experiment's lock.
inline constexpr int worker_lock_fd = 3;

struct LocalExecutorOptions {
  std::vector<std::string> command;  // argv of a worker; [0] is the path of its executable
  unsigned jobs = 1;                 // workers at most
  std::chrono::milliseconds episode_limit{1'800'000};
  int lock_fd = -1;  // borrowed; handed to the workers, so that the lock outlives a killed runner
};

class LocalExecutor final : public Executor {
 public:
  static Result<std::unique_ptr<LocalExecutor>> create(LocalExecutorOptions options);
  ~LocalExecutor() override;

  [[nodiscard]] std::size_t capacity() const override;
  Status submit(const Assignment& assignment) override;
  Result<std::optional<Completion>> wait(std::chrono::milliseconds timeout) override;
  std::vector<std::string> withdraw() override;
  void stop() override;

  // Process ids of the workers, for tests.
  [[nodiscard]] std::vector<int> worker_pids() const;

 private:
  struct State;
  explicit LocalExecutor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gyges::experiment
