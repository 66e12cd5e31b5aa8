// One HTTP POST at a time through libcurl, for endpoints of models. Redirects are not followed:
// they would carry the key to another host. Only http and https are spoken.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::model {

struct HttpPost {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  std::chrono::milliseconds timeout{};
  std::size_t max_reply_bytes = 32U << 20U;
};

struct HttpReply {
  long status = 0;
  std::string body;
  std::optional<double> retry_after_seconds;  // of the Retry-After header where it is a number
};

enum class HttpFault { none, timed_out, unreachable, too_large, other };

// `fault` says of what kind a failure was, for the decision to try again. Thread-safe.
Result<HttpReply> http_post(const HttpPost& post, HttpFault& fault);

}  // namespace gyges::model
