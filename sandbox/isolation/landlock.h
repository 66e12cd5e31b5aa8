// From the policy's Landlock rules to rulesets that pid 1 puts on itself, and so on everything
// inside (landlock(7)).
//
// What Landlock can do grows with its ABI: 1 (Linux 5.13) files, 2 (5.19) renames between
// directories, 3 (6.2) truncation, 4 (6.7) TCP ports, 5 (6.10) ioctl on devices, 6 (6.12) abstract
// sockets and signals. No ABI restricts stat, chmod, chown, xattrs, access times, chdir, UDP, or
// files that were open before.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/policy.h"

namespace gyges::isolation {

// ABI of this kernel; 0: it has no Landlock, or Landlock is switched off.
int landlock_abi();

struct LandlockRuleset {
  std::string words;          // for people: "from the mounts"
  std::uint64_t files = 0;    // LANDLOCK_ACCESS_FS_* that are refused unless a rule allows them
  std::uint64_t network = 0;  // LANDLOCK_ACCESS_NET_*
  std::uint64_t scope = 0;    // LANDLOCK_SCOPE_*
  struct Path {
    std::string path;  // inside; one that does not exist allows nothing
    std::uint64_t access = 0;
  };
  std::vector<Path> paths;
  std::vector<std::pair<std::uint16_t, std::uint64_t>> ports;  // and LANDLOCK_ACCESS_NET_*
};

struct LandlockPlan {
  std::vector<LandlockRuleset> rulesets;  // all hold
  std::string state;                      // for the record: "ABI 7, from the mounts", "off: ..."
};

// "read, write, execute", as far as a rule allows them.
std::string access_words(std::uint64_t files);

// What the policy demands and `abi` cannot do is an error with its cure. `degraded`: the caller
// accepts that Landlock is missing; then what can be done is.
Result<LandlockPlan> plan_landlock(const Policy& policy, int abi, bool degraded);

// Lets the ruleset that comes from the mounts read what is none of the policy's mounts.
void allow_reading(LandlockPlan& plan, const std::string& path);

}  // namespace gyges::isolation
