#include "agent_runtime/experiment/worker.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <exception>

#include "agent_runtime/experiment/assignment_queue.h"
#include "agent_runtime/experiment/durable.h"
#include "base/fd.h"

namespace gyges::experiment {
namespace {

Result<episode::EpisodeOutcome> run_and_sync(const PreparedAssignment& next) {
  try {
    GYGES_CHECK(next.fault);
    GYGES_TRY(episode::EpisodeOutcome outcome, next.run());
    GYGES_CHECK(sync_tree(next.assignment.request.out));
    return outcome;
  } catch (const std::exception& error) {
    return fail("run episode", next.assignment.request.out.string(), error.what(),
                "report this as a defect");
  }
}

}  // namespace

Status serve_assignments(int input, int output, const std::string& backend,
                         const EpisodePreparer& prepare) {
  GYGES_CHECK(write_all(output, encode(WorkerReady{backend})));
  // The slot is this thread's alone: an episode calls from the thread that runs it.
  std::string slot;
  auto finishing = [&] {
    // Who cannot be told is gone, which the report of the end will find.
    static_cast<void>(write_all(output, encode(RunFinishing{slot})).has_value());
  };
  GYGES_TRY(auto queue, AssignmentQueue::start(input, prepare, finishing));
  while (true) {
    GYGES_TRY(std::optional<PreparedAssignment> next, queue->next());
    if (!next) return ok();
    slot = next->assignment.slot;
    auto outcome = run_and_sync(*next);
    WorkerMessage answer = outcome ? WorkerMessage(RunDone{slot, *outcome})
                                   : WorkerMessage(RunFailed{slot, outcome.error()});
    GYGES_CHECK(write_all(output, encode(answer)));
  }
}

Status die_with(int parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno("set", "parent-death signal");
  // The parent may have died before the call; the signal would then never come.
  if (getppid() != parent)
    return fail("start worker", std::to_string(parent), "the runner is gone",
                "workers are started by `gyges experiment run`");
  return ok();
}

}  // namespace gyges::experiment
