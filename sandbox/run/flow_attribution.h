// Who caused a flow: joins flows.jsonl with the record of system calls.
#pragma once

#include <filesystem>

#include "base/error.h"

namespace gyges::run {

// Rewrites `bundle`/flows.jsonl with `pid`, `tool_call` and `attribution` filled in, from the calls
// of `bundle`/trace.gyt that name a socket address. Where the flow names its socket (its inode,
// which the gateway asked of the sandbox's kernel before it answered), the last connect(2) on that
// socket is its cause: "exact". Otherwise the last call for the same destination is taken, for the
// packet that opened a flow was seen just after it: "likely" where it came within 2 s before and no
// other process made one within 50 ms, "ambiguous" otherwise, "none" where the trace holds no such
// call. Flows of one connection share the answer. Before the bundle is sealed. At most a million
// such calls are looked at; flows after them stay as they are. Where it fails flows.jsonl is as it
// was.
Status attribute_flows(const std::filesystem::path& bundle);

}  // namespace gyges::run
