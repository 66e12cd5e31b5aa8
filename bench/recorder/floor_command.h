// What no recorder can do without, as commands: programs that do nothing at the two tracepoints,
// and a tracer that does nothing at the stops. What a recorder costs beyond these is its own.
#pragma once

namespace gyges::bench {

// recorder_bench floor programs|tracer COMMAND...
//
// programs: runs the command while empty programs are attached where those of the recorder are.
// tracer: stops the command and what it starts at entry and exit of each call and lets them go on,
// on one processor unless they choose another.
//
// Returns the command's exit status; exits with a message when the kernel refuses.
int floor_command(int argc, char** argv);

}  // namespace gyges::bench
