// The keeper: a process outside every sandbox that removes the cgroups a supervisor leaves when it
// is killed (a cgroup, unlike a namespace, does not end with its last process).
#pragma once

namespace gyges::init {

// Reads directory paths, one a line, from descriptor 3 until its end, which is the supervisor's
// end; then removes those that still exist and returns. Paths are the supervisor's own.
int keep();

}  // namespace gyges::init
