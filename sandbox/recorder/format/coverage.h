// What a run's record covers: which backend made it, how much, whether anything is missing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/resource_signs.h"

namespace gyges::recorder {

enum class Backend { ebpf, ptrace };

std::string_view backend_name(Backend backend);  // "ebpf", "ptrace"

// What the run's coverage statement says about the record.
struct Coverage {
  Backend backend = Backend::ebpf;
  std::uint64_t events = 0;
  std::uint64_t syscalls = 0;
  std::uint64_t bytes = 0;  // size of the trace file
  Counters counters;
  // Recorded equals counted, lost is 0, and with ptrace no ring of io_uring was used.
  bool complete = false;
  std::vector<std::string> not_observable;  // in words: vDSO time calls, ...
  std::vector<std::string> degraded;  // facilities this kernel lacks and what was used instead
  ResourceSigns signs;                // of the session that was closed; not in the trace file
};

}  // namespace gyges::recorder
