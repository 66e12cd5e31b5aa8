// Who caused a flow: joins flows.jsonl with the record of system calls.
#pragma once

#include <filesystem>

#include "base/error.h"

namespace gyges::run {

// Rewrites `bundle`/flows.jsonl with `pid`, `tool_call` and `attribution` filled in, from the calls
// of `bundle`/trace.gyt that name a socket address. The packet that opened a flow was seen just
// after such a call for the same destination, and the last such call is taken for its cause:
// "exact" where it came within 2 s before and no other process made one for the same destination
// within 50 ms, "ambiguous" otherwise, "none" where the trace holds no such call. Flows of one
// connection share the answer. Before the bundle is sealed. At most a million such calls are looked
// at; flows after them stay as they are. Where it fails flows.jsonl is as it was.
Status attribute_flows(const std::filesystem::path& bundle);

}  // namespace gyges::run
