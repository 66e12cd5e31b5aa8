// libseccomp, with its resources owned and its codes as errors.
#pragma once

#include <seccomp.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "sandbox/isolation/seccomp_profile.h"

namespace gyges::isolation {

inline constexpr int highest_syscall = 511;  // of x86-64, without the x32 range

// The half of an argument that a 32-bit parameter is.
inline constexpr std::uint64_t low_half = 0xffffffff;

using FilterContext = std::unique_ptr<void, decltype(&seccomp_release)>;

// A filter for x86-64 that kills calls of foreign ABIs; SCMP_ACT_* for what no rule is about.
Result<FilterContext> new_filter_context(std::uint32_t default_action);

// The compiled filter: an array of struct sock_filter, as bytes.
Result<std::string> program_of(const FilterContext& context);

// A negative code of the library as an error.
Status check_library(int code, std::string_view step, std::string_view object);

// SCMP_ACT_* of an action of a profile, SCMP_CMP_* of a condition of an OCI file.
std::uint32_t library_action(const SeccompAction& action);
scmp_arg_cmp comparison(const SeccompCondition& condition);

}  // namespace gyges::isolation
