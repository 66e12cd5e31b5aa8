#include "sandbox/isolation/host_facts.h"

#include <linux/capability.h>
#include <unistd.h>

#include <cstdio>

#include "base/files.h"
#include "sandbox/isolation/capabilities.h"
#include "sandbox/isolation/landlock.h"

namespace gyges::isolation {
namespace {

// Root of a user namespace is an ordinary user to the host: it may not map others, mount devices or
// load programs. Only the initial namespace maps every id to itself (user_namespaces(7)).
bool in_initial_user_namespace() {
  auto map = read_file("/proc/self/uid_map");
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t count = 0;
  return map && std::sscanf(map->c_str(), "%lu %lu %lu", &inside, &outside, &count) == 3 &&
         inside == 0 && outside == 0 && count == 4294967295U;
}

}  // namespace

HostFacts read_host_facts() {
  HostFacts host;
  host.uid = ::geteuid();
  host.gid = ::getegid();
  host.root = host.uid == 0 && in_initial_user_namespace() &&
              has_effective_capability(CAP_SYS_ADMIN) && has_effective_capability(CAP_SETUID) &&
              has_effective_capability(CAP_NET_ADMIN);
  host.landlock_abi = landlock_abi();
  host.time_namespaces = ::access("/proc/self/ns/time", F_OK) == 0;
  return host;
}

}  // namespace gyges::isolation
