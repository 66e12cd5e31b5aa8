// The worker's side of the protocol: runs one episode after another in this process.
#pragma once

#include <functional>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/experiment/worker_protocol.h"
#include "base/error.h"

namespace gyges::experiment {

// Runs what was prepared.
using EpisodeRun = std::function<Result<episode::EpisodeOutcome>()>;
// Does what can be done before a run begins; called by a thread of its own while the run before may
// still be finishing. An error is reported when the run's turn comes.
using EpisodePreparer = std::function<Result<EpisodeRun>(const episode::EpisodeRequest&)>;

// Reports ready, then serves assignments from `input` until its end; the request's `agent_ended`
// reports the run as finishing. Before it reports a run as done, the bundle's files and directories
// are synced to storage. Exceptions of `prepare` and of what it returns become failed runs.
Status serve_assignments(int input, int output, const std::string& backend,
                         const EpisodePreparer& prepare);

// Makes this process die (SIGKILL) when the process `parent` does. Fails when it is gone already.
Status die_with(int parent);

}  // namespace gyges::experiment
