// For servers that are started by their client over standard input and output. Clients kill the
// process they started, and its process group, as soon as they end themselves; what serves them
// goes on for as long as it takes to end what runs and seal the records.
#pragma once

#include <optional>

#include "base/error.h"

namespace gyges::cli {

// Goes on in a child that has a session of its own: there nullopt is returned. In the process that
// was started this returns when the child has ended, with its exit status (128 and the number of
// the signal that ended it); it hands SIGTERM, SIGINT and SIGHUP on to the child, which gets
// SIGTERM, too, when this process dies of anything. Call it before any thread is started.
Result<std::optional<int>> go_on_in_own_session();

}  // namespace gyges::cli
