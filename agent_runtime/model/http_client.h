// One HTTP POST at a time through libcurl, for endpoints of models. Redirects are not followed:
// they would carry the key to another host. Only http and https are spoken; nothing is kept between
// two calls. A reply is asked for as it is; one that is compressed all the same is unpacked.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent_runtime/model/cancellation.h"
#include "base/error.h"

namespace gyges::model {

struct HttpReply;

// An address as errors show it, which are recorded: without what may be secret in it, which is a
// user's name and password, and the query.
std::string shown_address(std::string_view url);
// Of it only what says where it is: "https://host:port".
std::string origin_of(std::string_view url);

struct HttpPost {
  std::string url;
  std::string step = "call model";   // as errors call it
  std::string shown;                 // how errors name it; empty: shown_address()
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  std::chrono::milliseconds timeout{};             // for everything
  std::chrono::milliseconds connect_timeout{};     // 0: only `timeout` counts
  std::chrono::milliseconds first_byte_timeout{};  // until the head of the reply; 0: as above
  std::size_t max_reply_bytes = 32U << 20U;
  const Cancellation* cancellation = nullptr;  // borrowed
  // Which headers of the reply are kept; empty: none.
  std::function<bool(std::string_view name)> keeps;
  // The head of a reply with status 2xx is there; called before `take`.
  std::function<void(const HttpReply& head)> begun;
  // Given the body of a reply with status 2xx piece by piece, which is then not kept. An error ends
  // the transfer and is the result of it.
  std::function<Status(std::string_view)> take;
};

struct HttpReply {
  long status = 0;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // at most 64, of 1 KiB each
  // Of Retry-After (seconds or a date) or retry-after-ms.
  std::optional<double> retry_after_seconds;
};

// taken: the error is that of HttpPost::take.
enum class HttpFault { none, timed_out, unreachable, too_large, cancelled, taken, other };

// `fault` says of what kind a failure was, for the decision to try again. Thread-safe.
Result<HttpReply> http_post(const HttpPost& post, HttpFault& fault);

// The value of a Retry-After header at the time `now` (Unix seconds): seconds, or a date of HTTP.
std::optional<double> retry_after(std::string_view value, std::int64_t now);

}  // namespace gyges::model
