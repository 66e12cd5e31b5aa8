// Starts pid 1 of a sandbox.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/program_start.h"

namespace gyges::isolation {

struct InitProcess {
  UniqueFd pidfd;
  pid_t pid = -1;
  UniqueFd control;  // SOCK_SEQPACKET
  StartedProgram program;

  // As StartedProgram::executed(), with the cure.
  Status executed();

  void kill() const;
  // Kills it and waits for its end.
  void end() const;
};

// Clones with those of the CLONE_NEW* flags that pid 1 does not enter itself (init::own_namespaces)
// and executes the embedded init from memory, which waits for its program. Does not stand by while
// the kernel executes it. It is killed when the calling thread ends.
// `arguments` are its argv, which everybody inside can read.
Result<InitProcess> launch_init(std::uint64_t namespaces,
                                const std::vector<std::string>& arguments = {"init"});

// The error for namespaces that this host does not give, with its cure.
tl::unexpected<Error> no_namespaces(int code, std::uint64_t namespaces);

// Tells the process's keeper (started at the first call) to remove `directory`, which need not be
// there yet, if this process dies without doing it. Thread-safe.
Status keep_directory(const std::string& directory);

// Waits until the keeper, where there is one, is being executed; else why not. Before anything
// enters what it is to keep. Thread-safe.
Status keeper_executed();

// Why this process's keeper could not hear it any more; nothing while it can. Such a one ends and
// takes along what it kept, so that whoever misses a group asks here. One that was killed takes
// nothing along. Thread-safe.
std::optional<Error> deaf_keeper();

}  // namespace gyges::isolation
