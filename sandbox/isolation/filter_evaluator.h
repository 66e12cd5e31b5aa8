// Runs a compiled seccomp program in user space, so that a profile can be tested and explained
// without a process that is subject to it.
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/seccomp_filter.h"

namespace gyges::isolation {

// What one program (an array of struct sock_filter, as bytes) returns for a call: SECCOMP_RET_*
// with its data. An error for a program that the kernel would not load.
Result<std::uint32_t> evaluate_program(std::string_view program, const seccomp_data& call);

// What the kernel does with several programs: the strictest verdict, and of equals the program
// loaded last.
Result<std::uint32_t> evaluate_filter(const SeccompFilter& filter, const seccomp_data& call);

// A call of x86-64.
seccomp_data x86_64_call(int number, const std::vector<std::uint64_t>& arguments = {});

}  // namespace gyges::isolation
