// When a process ends. Its first thread may end before the others: by itself, or because another
// one executes a program, which then takes the first one's number and goes on as the process.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

class ProcessEnds {
 public:
  // Of every event of a trace, in its order: whether the process event.pid ended with it. What is
  // missing from a lossy trace can make that too early, for a process whose threads are unknown.
  bool ends(const Event& event);

 private:
  struct Threads {
    std::uint32_t others = 0;  // than the first
    bool first_ended = false;
  };
  static constexpr std::size_t most_processes = 1U << 20U;
  std::unordered_map<std::int32_t, Threads> threads_;  // of those that have several
};

}  // namespace gyges::recorder
