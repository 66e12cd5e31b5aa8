// Signals that end a server in an orderly way.
#pragma once

#include "base/error.h"
#include "base/fd.h"

namespace gyges::cli {

// Polls readable once SIGTERM, SIGINT or SIGHUP has come, which no longer end the process by
// themselves. Call before threads are started: they inherit the mask.
Result<UniqueFd> stop_signals();

}  // namespace gyges::cli
