#include "agent_runtime/experiment/worker.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <exception>

#include "agent_runtime/experiment/durable.h"
#include "agent_runtime/experiment/line_stream.h"
#include "base/fd.h"

namespace gyges::experiment {
namespace {

Result<episode::EpisodeOutcome> run_and_sync(const EpisodeRunner& run,
                                             const episode::EpisodeRequest& request) {
  try {
    GYGES_TRY(episode::EpisodeOutcome outcome, run(request));
    GYGES_CHECK(sync_tree(request.out));
    return outcome;
  } catch (const std::exception& error) {
    return fail("run episode", request.out.string(), error.what(), "report this as a defect");
  }
}

}  // namespace

Status serve_assignments(int input, int output, const std::string& backend,
                         const EpisodeRunner& run) {
  GYGES_CHECK(write_all(output, encode(WorkerReady{backend})));
  LineStream lines(max_message_bytes);
  while (true) {
    while (auto line = lines.next()) {
      GYGES_TRY(Assignment assignment, decode_assignment(*line));
      auto outcome = run_and_sync(run, assignment.request);
      WorkerMessage answer = outcome ? WorkerMessage(RunDone{assignment.slot, *outcome})
                                     : WorkerMessage(RunFailed{assignment.slot, outcome.error()});
      GYGES_CHECK(write_all(output, encode(answer)));
    }
    GYGES_TRY(bool more, lines.fill(input));
    if (!more && lines.end()) return ok();
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
