// Detached, id-mapped copies of host mounts (mount_setattr(2), "ID-mapped mounts").
#pragma once

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/isolation/plan.h"

namespace gyges::isolation {

// A read-only copy of the mount at `source.path` in which the source's owner and group appear as
// the agent's and the agent's as theirs; all other ids below 65536 stay. Needs root.
Result<UniqueFd> mapped_copy(const MappedSource& source, const Identity& agent);

}  // namespace gyges::isolation
