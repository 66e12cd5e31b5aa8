// Carries an experiment out: hands the unfinished runs of the plan to an executor in order, keeps
// what finishes, retries what fails, until nothing is left or somebody asks to stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent_runtime/experiment/directory.h"
#include "agent_runtime/experiment/executor.h"
#include "agent_runtime/experiment/experiment.h"
#include "agent_runtime/experiment/index.h"
#include "agent_runtime/experiment/plan.h"
#include "base/error.h"

namespace gyges::experiment {

struct ConditionProgress {
  std::string condition;
  std::size_t planned = 0;
  std::size_t finished = 0;
  std::size_t failed = 0;  // no attempt is left
};

struct Progress {
  std::vector<ConditionProgress> conditions;  // in the experiment's order
  std::size_t planned = 0;
  std::size_t finished = 0;         // earlier ones included
  std::size_t finished_before = 0;  // when this runner began
  std::size_t running = 0;
  std::size_t queued = 0;  // handed to an executor that has not begun them
  std::size_t failed = 0;
  std::size_t retried = 0;         // failed attempts that were followed by another
  std::size_t ended_in_error = 0;  // finished by this runner with exit kind "error"
  std::uint64_t lost_events = 0;   // in the runs that this runner finished
  std::string last_failure;        // of the last failed attempt, for people
  std::chrono::steady_clock::duration elapsed{};
};

enum class StopRequest {
  none,
  finish_running,  // start nothing more; what runs may finish
  at_once,
};

struct RunnerOptions {
  std::function<StopRequest()> stop;            // asked at least five times a second; empty: never
  std::function<void(const Progress&)> report;  // after every change and five times a second
  std::chrono::milliseconds patience{10'000};   // for running runs once asked to stop
};

struct RunnerSummary {
  Progress progress;
  bool stopped = false;  // runs are left because somebody asked to stop
};

// An error means that the experiment cannot go on (the executor refuses, the disk is full, every
// one of the first runs fails); finished runs are kept in any case.
Result<RunnerSummary> carry_out(const Experiment& experiment, const std::vector<Slot>& plan,
                                ExperimentDirectory& directory, Index& index, Executor& executor,
                                const RunnerOptions& options);

}  // namespace gyges::experiment
