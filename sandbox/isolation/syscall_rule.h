// One item of a policy's `seccomp.allow` or `seccomp.deny`: a system call, whatever its arguments
// or under conditions on them.
#pragma once

#include <cerrno>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::isolation {

// `(argument & mask) op value`, all unsigned. Filters see registers, not memory: what a pointer
// points to cannot be a condition.
struct ArgumentCondition {
  enum class Compare { equal, not_equal, less, less_equal, greater, greater_equal };
  unsigned index = 0;  // 0 to 5
  Compare compare = Compare::equal;
  std::uint64_t value = 0;
  std::uint64_t mask = ~std::uint64_t{0};
  bool operator==(const ArgumentCondition&) const = default;
};

struct SyscallRule {
  std::string syscall;
  std::vector<ArgumentCondition> arguments;  // all must hold; empty: whatever the arguments
  int code = EPERM;                          // deny: the errno that the call answers
  bool kill = false;                         // deny: the process is killed instead
  bool operator==(const SyscallRule&) const = default;
};

// From an item of the policy that matches its schema: a name, or an object. Names of flags are
// looked up by the call and the argument that they stand for. `place` names it in errors.
Result<SyscallRule> read_syscall_rule(const nlohmann::json& item, std::string_view place);
nlohmann::json syscall_rule_to_json(const SyscallRule& rule);

// "argument 1 (cmd) == 0x5 and argument 2 & 0xff < 0x3"; empty without conditions.
std::string condition_words(const SyscallRule& rule);

// A number in decimal or, with 0x, hexadecimal, or names of the argument's flags joined by '|'
// ("PROT_READ|PROT_EXEC"); negative numbers are taken as the kernel sees them.
Result<std::uint64_t> argument_value(std::string_view text, std::string_view syscall,
                                     unsigned index);

}  // namespace gyges::isolation
