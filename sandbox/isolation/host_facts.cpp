#include "sandbox/isolation/host_facts.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/fd.h"
#include "base/files.h"
#include "sandbox/isolation/capabilities.h"
#include "sandbox/isolation/landlock.h"

namespace gyges::isolation {
namespace {

// Root of a user namespace is an ordinary user to the host: it may not map others, mount devices or
// load programs. Only the initial namespace maps every id to itself (user_namespaces(7)).
Result<bool> in_initial_user_namespace() {
  GYGES_TRY(std::string map, read_file("/proc/self/uid_map"));
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t count = 0;
  return std::sscanf(map.c_str(), "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 &&
         outside == 0 && count == 4294967295U;
}

// Without privilege over the host an overlay marks what it hides with attributes user.*, which
// files in memory have since Linux 6.6. An upper layer lies in memory, as does a memory file.
// Tried once for each process; without a descriptor or memory to try it with it is not known yet.
bool memory_has_user_attributes() {
  enum Answer { unknown, no, yes };
  static std::atomic<Answer> answer = unknown;
  if (answer == unknown) {
    const UniqueFd file(::memfd_create("gyges", MFD_CLOEXEC));
    if (!file) return false;
    const bool set = ::fsetxattr(file.get(), "user.gyges", "", 0, 0) == 0;
    answer = set || errno != EOPNOTSUPP ? yes : no;
  }
  return answer == yes;
}

}  // namespace

Result<HostFacts> read_host_facts() {
  HostFacts host;
  host.uid = ::geteuid();
  host.gid = ::getegid();
  if (host.uid == 0) {
    GYGES_TRY(host.root, in_initial_user_namespace());
    for (unsigned number : {CAP_SYS_ADMIN, CAP_SETUID, CAP_NET_ADMIN}) {
      GYGES_TRY(bool effective, has_effective_capability(number));
      host.root = host.root && effective;
    }
  }
  host.landlock_abi = landlock_abi();
  host.overlay_marks = host.root || memory_has_user_attributes();
  host.time_namespaces = ::access("/proc/self/ns/time", F_OK) == 0;
  if (!host.time_namespaces && errno != ENOENT)
    return fail_errno("look for time namespaces", "/proc/self/ns/time");
  unsigned major = 0;
  unsigned minor = 0;
  utsname name{};
  host.exec_enters_time = ::uname(&name) == 0 &&
                          std::sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
                          std::pair(major, minor) >= std::pair(6U, 3U);
  return host;
}

}  // namespace gyges::isolation
