// Slowing down the processes of a sandbox that is far ahead of its recorder.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::recorder {

// By what a sandbox's processes can be slowed down: the file cpu.max (cgroup v2) or
// cpu.cfs_quota_us (v1) of their control group, open for writing. In v1 the group's owner has set
// cpu.cfs_period_us to cpu_quota_period_us.
struct CpuQuotaFile {
  int file = -1;
  bool v2 = false;
};
inline constexpr std::uint32_t cpu_quota_period_us = 10000;

// args[0] of a recorder_wait event: the whole sandbox was slowed down, to args[1] percent of one
// processor at the least.
inline constexpr std::uint64_t wait_by_quota = 1;

// A session of a backend whose processes can get ahead of it.
class SlowableSession : public Session {
 public:
  // The file is borrowed during the call. Without it processes are held back in the kernel only,
  // which the coverage statement says.
  virtual Status slow_down_by(const CpuQuotaFile& quota) = 0;
};

// Tells the session what the processes to be adopted can be slowed down by, if it has a use for it.
inline Status slow_down_by(Session& session, const CpuQuotaFile& quota) {
  auto* const slowable = dynamic_cast<SlowableSession*>(&session);
  return slowable != nullptr ? slowable->slow_down_by(quota) : ok();
}

}  // namespace gyges::recorder
