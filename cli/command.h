// One subcommand of the binary per file. Each add_* function registers the subcommand with its
// options on `root` and sets a callback that does the work and stores the exit status.
//
// Exit statuses: 0 success; 1 a check found something (verify, audit, policy check); 2 wrong usage;
// 125 an error of Gyges's own; `gyges run` passes on the command's status, or 128 + signal.
#pragma once

#include "base/error.h"

namespace CLI {
class App;
}

namespace gyges::cli {

inline constexpr int exit_found = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_own_error = 125;

// Prints "gyges: <error line>" to standard error; returns exit_own_error.
int report(const Error& error);

}  // namespace gyges::cli
