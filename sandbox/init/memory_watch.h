// The memory of all processes of the sandbox together, where no cgroup counts it.
#pragma once

#include <cstdint>

namespace gyges::init {

// Looks at what they hold, and where that is more than `most` bytes kills those that hold most, one
// after the other, until it is not. How many. Takes tens of microseconds for each process.
//
// Counted: private memory, shared mappings, memory files, segments of System V; what is swapped
// out, too. Of memory that is both in a file or segment and mapped the larger sum counts, so that
// at most twice as much is held. Not seen: what stands in no process at all but on its way in a
// socket.
std::uint32_t look_at_memory(std::uint64_t most);

}  // namespace gyges::init
