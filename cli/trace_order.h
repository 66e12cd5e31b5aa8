// Prints lines of a trace in the order in which the calls were entered.
//
// A trace holds calls in the order in which they ended; a shell's wait4 that lasted all day stands
// at its end. Sorting everything would need memory for everything, so the trace is read twice: the
// first reading finds the few late ones, which lie before something of an earlier window of events;
// the second sorts each window and merges the late ones in.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::cli {

// Makes the line for an event, or an empty one for none.
using MakeLine = std::function<std::string(const recorder::Event&,
                                           const std::vector<recorder::ResolvedPath>& paths,
                                           const recorder::PathResolver& names)>;
// Takes a line; false ends it all.
using TakeLine = std::function<bool(const std::string& line)>;

// The error of a damaged trace comes after all good lines were taken.
// Only blocks that can hold what `blocks` looks for are read.
Status for_each_line_by_entry(recorder::TraceReader& reader, const recorder::BlockQuery& blocks,
                              const MakeLine& make, const TakeLine& take);

}  // namespace gyges::cli
