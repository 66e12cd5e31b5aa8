// Where runs are executed: on this machine (local_executor.h) or elsewhere. The runner decides what
// to run and what a failure means; an executor only carries assignments out.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/experiment/worker_protocol.h"
#include "base/error.h"

namespace gyges::experiment {

struct Completion {
  enum class Kind {
    done,      // a sealed bundle stands at the request's `out`
    failed,    // the run ended with an error and left no bundle
    lost,      // whoever ran it died; what stands at `out` may be anything
    overtime,  // it exceeded the time limit and was ended
  };
  std::string slot;
  Kind kind = Kind::failed;
  episode::EpisodeOutcome outcome;  // done
  std::string detail;               // failed, lost, overtime: what is known, for people
};

// Not thread-safe; one owner.
class Executor {
 public:
  virtual ~Executor() = default;

  // How many assignments may be in flight at once; at least 1. Changes with what wait() learns.
  [[nodiscard]] virtual std::size_t capacity() const = 0;

  // Takes an assignment; only when fewer than capacity() are in flight.
  virtual Status submit(const Assignment& assignment) = 0;

  // Waits for the next completion, at most `timeout`; none when it passed, a signal arrived, or
  // capacity() has grown. An error means that nothing can be executed (the recorder cannot be
  // opened, say).
  virtual Result<std::optional<Completion>> wait(std::chrono::milliseconds timeout) = 0;

  // How many of those in flight have not begun, as far as is known.
  [[nodiscard]] virtual std::size_t queued() const { return 0; }

  // Takes back assignments that have not begun; their slots are no longer in flight.
  virtual std::vector<std::string> withdraw() { return {}; }

  // Ends everything that is in flight, without completions, and returns when it has ended.
  virtual void stop() = 0;
};

}  // namespace gyges::experiment
