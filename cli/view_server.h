// The HTTP server behind `gyges view` and `gyges review --page`: loopback only, one reader. The
// page itself holds nothing and is given to whoever asks; everything under /api/ needs the token.
// Host is checked before anything else of a request is looked at, so that no page of another name
// reads from here (tools/mcp/http_guard.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::cli {

struct ViewAnswer {
  unsigned status = 200;
  std::string body;  // gzip where `packed`
  std::string type = "application/json";
  bool packed = false;
};

struct ViewServerOptions {
  std::uint16_t port = 0;  // 0: any that is free
  int stop = -1;           // borrowed; the server ends once it polls readable
  std::string token;       // hexadecimal; of every request under /api/
  std::string_view page;   // at /; outlives the server
  // What stands behind /api/..., path and query as sent, at most some 8 KiB. Called from up to
  // `threads` threads at once, so that a slow answer holds up no other.
  std::function<ViewAnswer(std::string_view target)> answer;
  unsigned threads = 4;
  // The same for a POST, with its body of at most 64 KiB; empty: nothing can be sent here.
  std::function<ViewAnswer(std::string_view target, std::string_view body)> take;
  // Called once with the port, when connections are accepted.
  std::function<void(std::uint16_t)> listening;
};

// A token of 192 random bits.
Result<std::string> new_view_token();

// Returns when stopped, after the answers that are being made. Where descriptors run out, who
// connects waits until there are some. Fails when it cannot listen at 127.0.0.1.
Status serve_view(const ViewServerOptions& options);

}  // namespace gyges::cli
