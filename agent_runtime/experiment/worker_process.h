// One worker process of the local executor: its life, its two streams, the run it has.
#pragma once

#include <boost/process/child.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/experiment/line_stream.h"
#include "agent_runtime/experiment/worker_protocol.h"
#include "base/fd.h"

namespace gyges::experiment {

struct WorkerProcess {
  boost::process::child child;
  UniqueFd stream;  // messages, both ways
  UniqueFd errors;  // what it writes to standard error; non-blocking
  LineStream lines{max_message_bytes};
  std::string last_errors;
  std::optional<std::string> slot;  // the run it has
  bool finishing = false;           // the agent of that run has ended
  std::optional<Assignment> next;   // given to it meanwhile
  bool withdrawn = false;           // and taken away again: of no use after this run
  std::chrono::steady_clock::time_point deadline;
  bool ready = false;
  bool overtime = false;  // killed because of its deadline

  // Starts argv with the messages at descriptors 0 and 1, its errors at 2 and `lock_fd` (-1: none)
  // at 3.
  static Result<std::unique_ptr<WorkerProcess>> start(const std::vector<std::string>& argv,
                                                      int lock_fd);
  // Sends the assignment whole. False: the worker is gone.
  [[nodiscard]] Result<bool> send(const Assignment& assignment);
  // Reads what it has written to standard error, keeping the end.
  void drain_errors();
  // Waits until it has exited, and leaves it to reap(). False: it still runs at `time`.
  [[nodiscard]] bool ends_before(std::chrono::steady_clock::time_point time) const;
  // Waits for its end; "exited with status 1" or "was killed by signal 9", and its last words.
  std::string reap();
};

}  // namespace gyges::experiment
