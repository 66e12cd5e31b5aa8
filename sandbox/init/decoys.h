// Processes that only look like daemons and threads of the kernel: they sleep for as long as the
// sandbox lives, have no capability and no file, and may make no system call but to sleep.
//
// One process, the maker, is forked from pid 1 and makes the others beside it, while pid 1 goes on:
// under one filter, which the maker loads and all inherit. What is still to be done under it goes
// through one page of code (the door) that the filter lets anything through, and which every
// process unmaps before it counts as ready. Threads of the kernel have no arguments to show and
// share the maker's memory: to make one takes a fifth of a fork.
#pragma once

#include <cstddef>
#include <cstdint>

#include <sys/types.h>

namespace gyges::init {

inline constexpr std::uint32_t max_decoys = 192;

// `arguments` are NUL-separated, `length` bytes without the last NUL; both texts are kept by
// pointer. `step`: for the report of await_decoys(). -1 with E2BIG: there are too many.
int note_decoy(std::uint32_t step, const char* name, const char* arguments, std::size_t length,
               const std::uint64_t (&number)[3]);
// Starts those that were noted; they go on by themselves. Returns 0, or -1 with errno set.
int start_decoys();
// Until it has shut itself in a decoy could be traced by an agent of its user, and until it has its
// name it would look like pid 1: to be called before anybody else is started, and before the root
// is changed, which a process that is just being made would miss. `unnumbered` is called for each
// that has another number than it should, with what the kernel said. -1 with ECHILD: one died.
int await_decoys(void (*unnumbered)(std::uint32_t step, int code));

// The process that was executed as a decoy; never returns. `name` becomes its comm.
[[noreturn]] void be_decoy(const char* name);
// The name of the decoy that this process is to be, from its environment; null: it is none.
const char* decoy_name(char* const* environment);

// A child was reaped, which may have been a decoy.
void forget_decoy(pid_t pid);
std::uint32_t decoys_alive();
// Kills and reaps them, so that they do not count among what commands left behind.
void end_decoys();

}  // namespace gyges::init
