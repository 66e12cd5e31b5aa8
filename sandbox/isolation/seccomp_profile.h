// What a seccomp profile says, before it is compiled: a shipped profile (policies/seccomp), a file
// of the same form, or a Docker/OCI seccomp file.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::isolation {

// What a filter answers to a call.
struct SeccompAction {
  enum class Kind { allow, log, refuse, kill_thread, kill_process, trap };
  Kind kind = Kind::allow;
  int code = 0;  // errno of refuse

  [[nodiscard]] std::uint32_t filter_value() const;  // SECCOMP_RET_*
  [[nodiscard]] std::string words() const;           // "allow", "EPERM", "kills the process"
  [[nodiscard]] bool allows() const { return kind == Kind::allow || kind == Kind::log; }
  bool operator==(const SeccompAction&) const = default;
};

struct SeccompCondition {
  enum class Compare { not_equal, less, less_equal, equal, greater_equal, greater, masked_equal };
  unsigned argument = 0;  // 0 to 5
  Compare compare = Compare::equal;
  std::uint64_t value = 0;   // masked_equal: the mask
  std::uint64_t second = 0;  // masked_equal: what the masked argument is compared with
};

// One rule of an OCI file; all conditions must hold.
struct SeccompRule {
  std::string name;
  SeccompAction action;
  std::vector<SeccompCondition> conditions;
};

struct SeccompRefusal {
  int code = 0;
  std::string grant;  // that lifts it; empty: none does
  std::string why;
  bool kill = false;    // the process is killed instead
  std::string by = "";  // who refuses it: "the profile default", "the policy"
};

struct SeccompProfile {
  std::string name;
  std::map<std::string, SeccompRefusal> refused;
  // Not empty: calls that are not in it answer EPERM.
  std::set<std::string> allowed;

  // From an OCI file: its rules in order, and what it does with all other calls. The groups of the
  // default profile hold besides: what they refuse still needs its grant.
  bool oci = false;
  SeccompAction otherwise;
  std::vector<SeccompRule> rules;
};

// `profile` is the name of a shipped profile, or a path (it has a slash or ends in .json).
// `capabilities` are those the policy keeps, by which an OCI file includes and excludes rules.
Result<SeccompProfile> load_seccomp_profile(std::string_view profile,
                                            const std::vector<std::string>& capabilities);

// From the text of a file; `source` names it in errors.
Result<SeccompProfile> read_seccomp_profile(std::string_view text, std::string_view source,
                                            const std::vector<std::string>& capabilities);

// The number of a system call of x86-64 (negative where it has none there), or an error that names
// it.
Result<int> syscall_number(std::string_view name);
// Empty for a number that has no call.
std::string syscall_name(int number);

}  // namespace gyges::isolation
