// What the gateway gives up before it reads its first hostile byte.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace gyges::network {

// Leaves the file system (an empty root), every privilege, and the host's network where nothing is
// to be relayed; sets limits. Single-threaded callers only.
Status give_up_surroundings(bool needs_host_network, std::uint64_t open_files,
                            std::uint64_t file_bytes);

// From now on only the system calls of the gateway's loop: no file can be opened, no program
// started, no process looked at. Others fail with EPERM.
Status filter_own_calls();

}  // namespace gyges::network
