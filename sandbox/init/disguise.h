// What pid 1 does for the looks of the sandbox: covers over files of /proc, the interfaces in /sys,
// numbers of processes, and processes that only look like daemons.
#pragma once

#include <cstddef>
#include <cstdint>

#include <sys/types.h>

namespace gyges::init {

inline constexpr std::uint32_t max_decoys = 192;

// Each returns 0, or -1 with errno set.
int cover(const char* file, const char* path);
int show_network(const char* place, const char* path);
int choose_next_pid(std::uint64_t pid);
int set_time(const char* path, std::int64_t seconds);
// The time of / and of what lies in its own file system; what is mounted there keeps its own.
int date_root(std::int64_t seconds);
// `arguments` are NUL-separated, `length` bytes without the last NUL.
// It goes on by itself; see await_decoys(). Returns `unnumbered` with errno set where it could not
// have the wanted number and has another.
inline constexpr int unnumbered = 1;
int start_decoy(const char* name, const char* arguments, std::size_t length,
                const std::uint64_t (&number)[3]);
// Until it has shut itself in a decoy could be traced by an agent of its user, and until it has its
// name it would look like pid 1: to be called before anybody else is started. They get there side
// by side; waiting for each in turn took a switch of processes twelve times. -1 with ECHILD: one
// died.
int await_decoys();

// The process that was started as a decoy; never returns. `name` becomes its comm.
[[noreturn]] void be_decoy(const char* name);
// The name of the decoy that this process is to be, from its environment; null: it is none.
const char* decoy_name(char* const* environment);

// A child was reaped, which may have been a decoy.
void forget_decoy(pid_t pid);
std::uint32_t decoys_alive();
// Kills and reaps them, so that they do not count among what commands left behind.
void end_decoys();

}  // namespace gyges::init
