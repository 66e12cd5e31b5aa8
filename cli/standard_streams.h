// The three descriptors that a caller may have closed, and output that did not arrive.
#pragma once

namespace gyges::cli {

// Fills closed descriptors of 0 to 2 with one that reads nothing and takes nothing. Without it the
// next file opened, the trace of a run for one, would become standard output and be written over.
// Call it before anything is opened.
void occupy_standard_descriptors();

// Flushes standard output. Returns `exit_status`, or that of an own error after a message if output
// was lost: a table cut short by a full disk must not look like the whole. A reader that went away
// on purpose (EPIPE) is no error.
int finish_standard_output(int exit_status);

}  // namespace gyges::cli
