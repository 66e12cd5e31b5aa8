// What a run may not leave on the host.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

namespace gyges::faults {

// The mounts of this process's mount namespace.
std::string mount_table();

// A cgroup made by `supervisor`, a process below its sandboxes, or an entry of its temporary
// directory; "" when there is none, after waiting for up to thirty seconds.
std::string leftovers_of(pid_t supervisor, const std::filesystem::path& temporary);

// Processes on this machine whose arguments contain `token`, after waiting for up to thirty seconds
// for there to be none.
int processes_of(const std::string& token);

}  // namespace gyges::faults
