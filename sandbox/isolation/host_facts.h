// What the supervisor may do on this host, as far as a plan depends on it.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace gyges::isolation {

struct HostFacts {
  bool root = false;      // effective uid 0 with CAP_SYS_ADMIN
  std::uint32_t uid = 0;  // of the caller
  std::uint32_t gid = 0;
  bool time_namespaces = true;
  bool exec_enters_time = true;  // the time namespace made for children, also by execve (Linux 6.3)
  int landlock_abi = 0;          // 0: none
  bool overlay_marks = true;     // an overlay of the caller's can hide a directory of the host's
};

// An error where the kernel does not say: taking root for an ordinary user, or the other way round,
// would make another sandbox than the one asked for.
Result<HostFacts> read_host_facts();

}  // namespace gyges::isolation
