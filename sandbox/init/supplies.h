// What the supervisor makes beside pid 1's work and sends as soon as it has it: detached mounts,
// the entrances of the cgroup. Nothing waits for them before the step that needs them.
#pragma once

#include "sandbox/init/protocol.h"

namespace gyges::init {

// Waits until the supervisor has dealt with what was offered as `what`; 0.
int await_answer(Hand what);
// Sends `fd` as `what`, closes it, and waits as await_answer() does. -1 where there is no
// descriptor; errno is then the caller's.
int hand(int fd, Hand what);

// Waits until this process has entered its cgroup, or there is none; 0.
int await_cgroup();
// What holds then.
const CgroupSettings& cgroup_settings();

}  // namespace gyges::init
