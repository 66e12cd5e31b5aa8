// What pid 1 does for the looks of the sandbox: covers over files of /proc, the interfaces in /sys,
// dates, numbers of processes. Processes that only look like daemons: decoys.h.
#pragma once

#include <cstdint>

namespace gyges::init {

// Each returns 0, or -1 with errno set.
int cover(const char* file, const char* path);
int show_network(const char* place, const char* path);
// Moves what is mounted there onto a place of the old root, which is unmounted with everything
// below it when the new one is entered: to unmount it here would wait for all processors once more
// (up to 0.3 ms, Linux 6.18). Nothing of the old /dev is used any more; where it cannot be moved,
// it is unmounted.
int leave_behind(const char* path);
int choose_next_pid(std::uint64_t pid);
int set_time(const char* path, std::int64_t seconds);
// The time of / and of what lies in its own file system; what is mounted there keeps its own.
int date_root(std::int64_t seconds);

}  // namespace gyges::init
