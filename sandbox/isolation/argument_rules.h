// The seccomp program of a policy's rules with conditions on arguments.
//
// libseccomp compares all 64 bits of a register, although the kernel reads only the lower half of
// an `int` parameter: a program could put anything into the upper half and slip past a rule. It
// also has no masked comparison but for equality. So these few instructions are our own.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/seccomp_profile.h"
#include "sandbox/isolation/syscall_rule.h"

namespace gyges::isolation {

// What holds for one call: the first `deny` that fits decides; then, if there are any, one of
// `allow` must fit, or the call answers `otherwise`.
struct ArgumentRules {
  int number = 0;
  std::vector<SyscallRule> deny;
  std::vector<SyscallRule> allow;
  SeccompAction otherwise;
};

// An array of struct sock_filter, as bytes. Calls without rules are allowed; foreign ABIs are
// killed.
//
// Where the width of a parameter is known to be 32 bits only these are compared. Where it is not,
// an argument is read in the way that opens less: a deny fits if the lower half or the whole does,
// an allow only if both do.
Result<std::string> compile_argument_rules(const std::vector<ArgumentRules>& rules);

}  // namespace gyges::isolation
