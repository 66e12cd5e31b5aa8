// Executes the set-up program inside the fresh namespaces.
#pragma once

#include "sandbox/init/protocol.h"

namespace gyges::init {

// The program in memory, checked for its bounds.
struct Program {
  const ProgramHeader* header = nullptr;
  const char* filters = nullptr;  // header->filters programs
  const char* steps = nullptr;
  const char* end = nullptr;
};

// Puts a detached mount into the next slot.
void take_mount(int fd);

// Runs every step in order; returns when all are done. On failure reports step and errno to the
// supervisor and ends the process.
void run_setup(const Program& program);

}  // namespace gyges::init
