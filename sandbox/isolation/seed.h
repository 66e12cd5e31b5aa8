// Fills the lower layers of writable areas before the sandbox starts.
#pragma once

#include "base/error.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::isolation {

// Writes the seed files and the mount points of nested mounts below the scratch directory. Nothing
// runs inside yet, so the tree is still ours alone.
Status seed_areas(int scratch, const Plan& plan, const SandboxSpec& spec, const HostFacts& host);

}  // namespace gyges::isolation
