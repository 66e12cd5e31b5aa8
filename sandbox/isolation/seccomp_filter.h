// The seccomp programs of a sandbox, compiled by libseccomp from a profile (policies/seccomp) and
// the policy's additions.
//
// Two programs are loaded; the kernel takes the stricter verdict. The first allows by number what
// the profile allows, so that the kernel's bitmap cache answers without running it (since 5.11).
// The second looks at arguments: address families, clone flags, terminal ioctls. Foreign ABIs
// (i386, x32) are killed by both.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/policy.h"

namespace gyges::isolation {

struct SyscallVerdict {
  std::string name;
  int number = 0;
  std::string verdict;  // "allow", "EPERM", "ENOSYS", "allow, arguments checked"
  std::string why;
};

struct SeccompFilter {
  std::vector<std::string> programs;     // each an array of struct sock_filter, as bytes
  std::vector<SyscallVerdict> verdicts;  // by number
};

// Thread-safe; results are cached by policy.
Result<SeccompFilter> compile_seccomp(const SeccompRules& rules,
                                      const std::vector<std::string>& grants);

}  // namespace gyges::isolation
