// Limits that processes of a sandbox ran into as the record of their system calls shows it.
#pragma once

#include <vector>

#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/format/resource_signs.h"

namespace gyges::isolation {

// Adds to `hits` what is not among them yet. A sign of a limit that the policy does not set is
// somebody else's limit and adds nothing.
void add_limits_of_record(const Limits& limits, const recorder::ResourceSigns& signs,
                          std::vector<LimitHit>& hits);

}  // namespace gyges::isolation
