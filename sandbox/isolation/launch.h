// Starts pid 1 of a sandbox.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::isolation {

struct InitProcess {
  UniqueFd pidfd;
  pid_t pid = -1;
  UniqueFd control;  // SOCK_SEQPACKET
};

// Clones with the given CLONE_NEW* flags and executes the embedded init from memory with `program`
// (a memory file) as its set-up program; `prepared` mounts are inherited. Before that the process
// enters the cgroups behind `entrances` (Cgroup::entrances). It is killed when the calling thread
// ends.
Result<InitProcess> launch_init(std::uint64_t namespaces, const UniqueFd& program,
                                const std::vector<UniqueFd>& prepared,
                                const std::vector<UniqueFd>& entrances);

// Tells the process's keeper (started at the first call) to remove `directory`, which need not be
// there yet, if this process dies without doing it. Thread-safe.
Status keep_directory(const std::string& directory);

}  // namespace gyges::isolation
