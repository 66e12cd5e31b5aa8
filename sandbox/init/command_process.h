// The process of a command, from its first instruction to its program.
//
// It shares the memory of pid 1 until then, as a child of vfork(2) does: copying page tables, the
// faults of both after it and tearing the copy down took 65 us of each command. It may, because
// the program of pid 1 has no C library and no locks, and because the two take turns: pid 1 waits
// until the process is at its gate, from where on it writes nothing but its own stack and place.
// Nobody inside can reach that memory, for it is not dumpable.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sandbox/init/protocol.h"
#include "sandbox/init/setup.h"

namespace gyges::init {

// A spawn payload with the pointers that execve takes.
struct Payload {
  char* base = nullptr;
  std::size_t size = 0;
  SpawnHeader header;
  const char* directory = nullptr;
  char** argv = nullptr;
  char** envp = nullptr;
};

// How far a process has come. Shared with it, whichever memory it has.
struct Stand {
  enum State : std::uint32_t { under_way, at_gate, given_up };
  std::uint32_t state = under_way;
  StartFailure failure;  // where it has given up
};

// What a process works with until it executes its program; another's only after that.
struct Place {
  std::uint32_t taken = 0;  // the kernel makes it 0 when the memory is no longer shared
  std::uint32_t owner = 0;  // the command that had it last
  const Program* program = nullptr;
  Stand* stand = nullptr;
  int reached = -1;           // an eventfd from 10 on, by which the process says where it stands
  int gate = -1;              // another, by which the supervisor lets it through
  bool handed = false;        // the supervisor has the gate
  std::uint32_t number = 0;   // among the places
  int fds[3] = {-1, -1, -1};  // the standard descriptors
  Payload payload;
  char* pointers[1024];
  char text[most_in_message];
};

// The process's own part: to the gate, and through it. `place` is a Place.
void run_command(void* place);

}  // namespace gyges::init
