// An MCP server over standard input and output: one message a line, one session, until the client
// closes its end or a signal comes.
#pragma once

#include <cstddef>

#include "base/error.h"
#include "tools/mcp/service.h"
#include "tools/mcp/session_calls.h"

namespace gyges::mcp {

struct StdioStreams {
  int input = 0;   // borrowed
  int output = 1;  // borrowed
  int stop = -1;   // borrowed: the server ends once it polls readable (a signalfd)
};

struct StdioLimits {
  std::size_t line_bytes = 8U << 20U;  // of a message; a longer line is answered by an error
  CallLimits calls;
  std::size_t unsent_bytes = 16U << 20U;  // answers that the client does not read; then it is gone
};

// Returns when the session has ended and its record is sealed. Calls that run when the client
// closes its end are finished as long as it reads; a stop cancels them.
Status serve_stdio(Service& service, const StdioStreams& streams, const StdioLimits& limits = {});

}  // namespace gyges::mcp
