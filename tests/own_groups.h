// The control groups that a supervisor made.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace gyges {

// Paths of the groups of `supervisor` on this host. Those that were there before this test program
// began are not counted: numbers of processes come round again.
std::vector<std::string> groups_of(pid_t supervisor);

}  // namespace gyges
