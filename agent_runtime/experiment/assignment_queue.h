// The assignments of a worker, read and prepared by a thread of its own, so that the next run is
// prepared while the present one is being finished.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "agent_runtime/experiment/worker.h"
#include "agent_runtime/experiment/worker_protocol.h"
#include "base/error.h"
#include "base/fd.h"

namespace gyges::experiment {

struct PreparedAssignment {
  Assignment assignment;
  EpisodeRun run;  // empty with a fault
  Status fault;    // why it could not be prepared
};

class AssignmentQueue {
 public:
  // Reads lines from `input` (borrowed) until its end. Each request is given `agent_ended` before
  // it is prepared.
  static Result<std::unique_ptr<AssignmentQueue>> start(int input, EpisodePreparer prepare,
                                                        std::function<void()> agent_ended);
  // Reads no more; what is prepared and was not taken is dropped.
  ~AssignmentQueue();
  AssignmentQueue(const AssignmentQueue&) = delete;
  AssignmentQueue& operator=(const AssignmentQueue&) = delete;

  // Waits for the next one; none at the end of the input. An error: what came is no assignment.
  Result<std::optional<PreparedAssignment>> next();

 private:
  AssignmentQueue() = default;
  void read();
  Status read_all();
  void add(Assignment assignment);

  int input_ = -1;
  EpisodePreparer prepare_;
  std::function<void()> agent_ended_;
  Pipe wake_;  // closed at its write end: stop reading
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<PreparedAssignment> ready_;
  std::optional<Status> end_;  // of the input, or the fault that ended it
  std::thread thread_;
};

}  // namespace gyges::experiment
