// Carries the standard streams of one command between the caller and the sandbox, through pipes: no
// descriptor of the caller's terminal or files goes inside.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::run {

struct RelayStreams {
  int input = -1;  // borrowed; -1: the command reads an end of file
  int output = -1;
  int error = -1;
  // The command gets a pseudo-terminal of its own instead of pipes, with the size of `input`'s
  // terminal and its changes; `error` stays a pipe where it is no terminal.
  bool terminal = false;
  std::uint64_t output_limit = 0;  // bytes of both together that are passed on; 0: all
  // Borrowed, may be null: receives why output was lost, where its reader did not just go away.
  std::optional<Error>* lost = nullptr;
};

// Blocks the signals that run_relayed passes on, in this thread and those it makes from now on: a
// signal that arrives before the command runs waits for it instead of ending this process.
void hold_forwarded_signals();

// Spawns the command with pipes for its streams and waits for its end. SIGINT, SIGTERM, SIGHUP,
// SIGQUIT, SIGUSR1, SIGUSR2 and SIGCONT that arrive at this process meanwhile go to the command's
// process group. Output past the limit is read and thrown away, and the limit noted. What daemons
// write after the command's end is passed on until they pause for 50 ms, for half a second and 2
// MiB at most.
//
// Changes the signal mask of the calling thread while it runs; other threads should have these
// signals blocked.
Result<isolation::CommandEnd> run_relayed(isolation::Sandbox& sandbox, isolation::Command command,
                                          const RelayStreams& streams);

}  // namespace gyges::run
