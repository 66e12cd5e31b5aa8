// Several seccomp programs as one, with the verdict that the kernel would reach over all of them.
//
// Every command loads its programs itself. The kernel converts, compiles and tries each of them
// over all call numbers while it does so (Linux 6.18: 190 us for the three of the default preset),
// and runs each of them on every call that its bitmap does not know.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::isolation {

// `programs` are arrays of struct sock_filter, as bytes, in the order in which they would be
// loaded. The one returned answers every call, whatever its ABI, number and arguments, as they do
// together: with the strictest verdict, and of equals that of the program loaded last. A call that
// they allow without a look at its arguments is allowed without one here too.
//
// Empty where there is no such program: one of them calculates with more than comparisons and
// masks, or it would be longer than the kernel takes. An error for a program that the kernel would
// not load. Thread-safe.
Result<std::string> merge_programs(const std::vector<std::string>& programs);

}  // namespace gyges::isolation
