// Runs a compiled seccomp program in user space, as the kernel would.
//
// Who tests or explains a profile needs no process that is subject to it, and who traces a process
// can tell a call that seccomp refused from one that the kernel failed: both look alike at the end.
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace gyges {

struct ProgramVerdict {
  std::uint32_t action = SECCOMP_RET_ALLOW;  // SECCOMP_RET_* with its data
  bool by_number = true;  // neither arguments nor the instruction pointer were looked at
};

// `program` is an array of struct sock_filter, as bytes. An error for one that the kernel would not
// load. No memory is allocated; at most 4096 steps are made. Thread-safe.
Result<ProgramVerdict> run_seccomp_program(std::string_view program, const seccomp_data& call);

// What the kernel does with two verdicts, of which `later` is of the program loaded later: the
// stricter one, and of equals the later one.
ProgramVerdict stricter(const ProgramVerdict& later, const ProgramVerdict& earlier);

}  // namespace gyges
