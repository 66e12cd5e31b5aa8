// Follows the trace of a run that is still being recorded.
#pragma once

#include <functional>

#include "cli/trace_order.h"

namespace gyges::cli {

// Opens a trace whose first bytes may just be being written: tries for two seconds. Returns once
// there is a first block, or none will come.
Result<recorder::TraceReader> open_live_trace(
    const std::function<Result<recorder::TraceReader>()>& open);

// Calls `take` for lines as blocks are finished, until the trace's end, or until its recorder has
// died, which is then the error. Lines that arrive together are in order of entry.
Status follow_lines(recorder::TraceReader& reader, const MakeLine& make, const TakeLine& take);

}  // namespace gyges::cli
