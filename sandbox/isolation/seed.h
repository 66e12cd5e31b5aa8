// Fills the lower layers of writable areas before the sandbox starts.
#pragma once

#include "base/error.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::isolation {

// The file mode mask of the thread that makes files: that of its caller, or none (base/unmasked.h),
// where what is made has its mode from the start.
enum class Mask { callers, none };

// Writes the seed files and the mount points of nested mounts below the scratch directory. Nothing
// runs inside yet, so the tree is still ours alone.
Status seed_areas(int scratch, const Plan& plan, const SandboxSpec& spec, const HostFacts& host,
                  Mask mask);

}  // namespace gyges::isolation
