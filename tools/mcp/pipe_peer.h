// Requests to a program over a pair of pipes, one message a line, each answered before the next is
// sent. What the program says in between is dropped, what it asks is refused.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::mcp {

class PipePeer {
 public:
  struct Limits {
    std::size_t message_bytes = 4U << 20U;  // of one line
    std::size_t answer_bytes = 64U << 20U;  // of all that comes before an answer
    std::size_t messages = 10'000;          // likewise
  };
  using Clock = std::chrono::steady_clock;

  // Descriptors of ours; `to` and `errors` are made non-blocking. `errors` is what the program
  // writes to standard error, read while an answer is waited for; only its end is kept.
  static Result<std::unique_ptr<PipePeer>> create(UniqueFd to, UniqueFd from, UniqueFd errors,
                                                  Limits limits);

  struct Reply {
    std::shared_ptr<const nlohmann::json> result;  // null: `error` says why
    std::string error;                             // bounded, valid UTF-8
  };

  // `params` is JSON text. Fails when the program is gone, breaks a limit, does not answer in time,
  // or `cancel_fd` (-1: none) polls readable. The last two have the code ECANCELED; after the
  // others it is of no more use.
  Result<Reply> request(std::string_view method, std::string_view params,
                        Clock::time_point deadline, int cancel_fd);
  // Sent at once as far as the program takes it, the rest with the next request.
  Status notify(std::string_view method, std::string_view params);
  // Parameters of notifications/cancelled for the request made last.
  [[nodiscard]] std::string last_request() const;
  // The end of what it wrote to standard error: bytes, bounded.
  [[nodiscard]] std::string last_words();

 private:
  PipePeer(UniqueFd to, UniqueFd from, UniqueFd errors, Limits limits)
      : to_(std::move(to)), from_(std::move(from)), errors_(std::move(errors)), limits_(limits) {}
  void read_errors();
  Status exchange(Clock::time_point deadline, int cancel_fd);
  Result<bool> take_line(const std::string& id, Reply& reply);

  UniqueFd to_;
  UniqueFd from_;
  UniqueFd errors_;
  std::string words_;
  Limits limits_;
  std::string unsent_;
  std::string unread_;
  std::size_t searched_ = 0;  // bytes of unread_ without a line break
  std::size_t answer_bytes_ = 0;
  std::size_t messages_ = 0;
  std::uint64_t requests_ = 0;
};

}  // namespace gyges::mcp
