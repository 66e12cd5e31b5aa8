// An MCP server over streamable HTTP: POST, GET and DELETE at /mcp. Answers are one JSON object,
// written at once, or where a call has something to say before its answer an event stream. GET is
// the stream of the server's own messages or, with Last-Event-ID, the rest of one whose connection
// broke.
//
// Clients of revisions with sessions get a session and a sandbox each, named in Mcp-Session-Id.
// Requests of 2026-07-28 have no session: those that come to /mcp, or to /mcp/NAME with the same
// NAME, from clients that call themselves by the same name share one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tools/mcp/http_sessions.h"
#include "tools/mcp/service.h"

namespace gyges::mcp {

struct HttpOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                    // 0: any that is free
  int stop = -1;                             // borrowed; the server ends once it polls readable
  std::vector<std::string> allowed_hosts;    // see http_guard.h
  std::vector<std::string> allowed_origins;  // likewise
  std::string token;                         // likewise
  SessionLimits sessions;
  std::size_t connections = 256;
  std::size_t body_bytes = 8U << 20U;
  std::size_t unsent_bytes = 4U << 20U;   // of one stream that the client does not read
  std::chrono::seconds request_time{30};  // for a body to arrive, and for an answer to be taken
  std::chrono::seconds keep_alive{75};    // for the next request's header to arrive
  // Called once with the port, when connections are accepted.
  std::function<void(std::uint16_t)> listening;
};

// Returns when stopped and all records are sealed. Fails when it cannot listen there; an address
// other than a loopback one needs a token.
Status serve_http(Service& service, const HttpOptions& options);

}  // namespace gyges::mcp
