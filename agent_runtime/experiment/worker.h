// The worker's side of the protocol: runs one episode after another in this process.
#pragma once

#include <functional>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/experiment/worker_protocol.h"
#include "base/error.h"

namespace gyges::experiment {

using EpisodeRunner =
    std::function<Result<episode::EpisodeOutcome>(const episode::EpisodeRequest&)>;

// Reports ready, then serves assignments from `input` until its end. Before it reports a run as
// done, the bundle's files and directories are synced to storage. Exceptions of `run` become
// failed runs.
Status serve_assignments(int input, int output, const std::string& backend,
                         const EpisodeRunner& run);

// Makes this process die (SIGKILL) when the process `parent` does. Fails when it is gone already.
Status die_with(int parent);

}  // namespace gyges::experiment
