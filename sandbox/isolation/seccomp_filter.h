// The seccomp programs of a sandbox, compiled by libseccomp from a profile (policies/seccomp) and
// the policy's additions.
//
// There are several parts, of which the strictest verdict holds. One allows by number what the
// profile allows, so that the kernel's bitmap cache answers without running it (since 5.11). One
// looks at arguments: address families, clone flags, terminal ioctls, calls that act on pid 1. One
// has the policy's rules with conditions on arguments. Calls of i386 are killed, those of x32 do
// not exist. A profile that is a Docker/OCI file adds its own rules as a part. What is loaded is
// one program that answers as all of them do (merged_program.h).
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
  std::string by;                       // who decided: "the profile default", "the policy", ...
  std::string opened_by;                // what a policy states to allow it; empty: nothing does
  std::vector<std::string> conditions;  // on arguments, in the order they are looked at
};

struct SeccompFilter {
  // Each an array of struct sock_filter, as bytes, in the order of loading.
  std::vector<std::string> programs;     // what is loaded: one, or the parts where none is possible
  std::vector<std::string> parts;        // what it was made from
  std::vector<SyscallVerdict> verdicts;  // by number
};

// Thread-safe; results for shipped profiles are cached. `capabilities` are those the policy keeps;
// only the rules of a Docker/OCI file depend on them.
Result<SeccompFilter> compile_seccomp(const SeccompRules& rules,
                                      const std::vector<std::string>& grants,
                                      const std::vector<std::string>& capabilities = {});

// What the compiled programs depend on, as one string; empty for a profile that is a file, because
// a file may change.
std::string seccomp_key(const SeccompRules& rules, const std::vector<std::string>& grants);

}  // namespace gyges::isolation
