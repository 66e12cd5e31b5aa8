// What a supervisor gives back while it only waits.
#pragma once

namespace gyges::run {

// Takes the program's code and constants out of this process's memory, and what the allocator holds
// unused. The file has the former, and the page cache mostly too, so that what is needed again
// comes back by page faults, some tenths of a millisecond for the end of a run. For waits much
// longer than that. Thread-safe.
void release_idle_memory();

}  // namespace gyges::run
