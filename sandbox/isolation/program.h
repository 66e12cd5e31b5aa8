// The set-up program of pid 1: a plan's steps and the seccomp programs as one run of bytes, in the
// layout of sandbox/init/protocol.h.
#pragma once

#include <string>
#include <vector>

#include "sandbox/isolation/plan.h"

namespace gyges::isolation {

// The plan's steps behind the given seccomp programs (arrays of sock_filter as bytes).
std::string encode_program(const Plan& plan, const std::vector<std::string>& filters);

}  // namespace gyges::isolation
