// What a policy's filter answers to one call as a person writes it, and why.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/seccomp_filter.h"

namespace gyges::isolation {

struct CallVerdict {
  std::string text;                      // as it was asked
  std::string verdict;                   // with arguments: of this very call
  std::vector<std::uint64_t> arguments;  // given ones; empty: none
  SyscallVerdict rule;                   // of the call whatever its arguments
};

// `call` is "openat" or "socket(AF_VSOCK, 1, 0)": arguments are numbers or names of their flags;
// those left out count as 0. With arguments the compiled programs are run.
Result<CallVerdict> verdict_of_call(const SeccompFilter& filter, std::string_view call);

// Whether the text starts with the name of a system call.
bool is_call(std::string_view text);

}  // namespace gyges::isolation
