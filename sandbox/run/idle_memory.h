// What a supervisor gives back while it only waits.
#pragma once

namespace gyges::run {

// Takes the program's code and constants, which are in the page cache in any case, and what the
// allocator holds unused, out of this process's memory. What is needed again comes back by page
// faults: for waits of a good part of a second and longer. Thread-safe.
void release_idle_memory();

}  // namespace gyges::run
