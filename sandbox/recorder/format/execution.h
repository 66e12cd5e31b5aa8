// A program that was executed, as an event of the trace tells it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

struct ExecutedProgram {
  std::uint64_t time_ns = 0;
  std::vector<std::string> argv;  // at most 4096 words
  bool truncated = false;         // argv was longer than what was recorded
};

// An execve or execveat that succeeded.
bool is_execution(const Event& event);
ExecutedProgram execution_of(const Event& event);

}  // namespace gyges::recorder
