// A run as spans of OpenTelemetry, after its semantic conventions for generative AI (invoke_agent,
// chat, execute_tool), in the JSON form of OTLP.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "analysis/watch/alert.h"
#include "base/error.h"

namespace gyges::analysis {

// An ExportTraceServiceRequest with the run of the alert's bundle, and the alert with its evidence
// as an event of the agent's span. A bundle without a transcript gives that span alone. The same
// alert gives the same ids of trace and spans.
Result<nlohmann::json> spans_of(const Alert& alert);

}  // namespace gyges::analysis
