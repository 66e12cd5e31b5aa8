// What this host offers for isolation, for `gyges doctor`.
#pragma once

#include <vector>

#include "base/facility.h"

namespace gyges::isolation {

// Tries each thing for real; leaves nothing behind.
std::vector<Facility> probe_facilities();

}  // namespace gyges::isolation
