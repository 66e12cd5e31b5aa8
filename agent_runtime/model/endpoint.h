// Client of a provider's endpoint in any of the dialects, streaming or not.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent_runtime/model/delta.h"
#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/key_forms.h"
#include "agent_runtime/model/model_client.h"
#include "agent_runtime/model/model_request.h"
#include "agent_runtime/model/pass_through.h"

namespace gyges::model {

class RequestPace;

struct HttpReply;

// Per million tokens, in any currency. Input that came from the provider's cache, or was written
// into it, is charged at its own price; without one, as other input.
struct Prices {
  double input = 0;
  double output = 0;
  double cached_input = -1;  // negative: as input
  double cache_write = -1;   // negative: as input
};

double cost_of(const Usage& usage, const Prices& prices);

struct EndpointConfig {
  const Dialect* dialect = nullptr;  // never null
  std::string base_url;              // before the dialect's path: "http://127.0.0.1:8000/v1"
  std::string key;                   // secret; empty: no key is sent
  // Model, sampling and further members of the body; messages and tools are those of each request.
  ModelRequest settings;
  bool send_seed = false;       // the run's seed, where the dialect has a place for it
  bool send_reasoning = false;  // openai_chat: earlier reasoning goes back to the endpoint
  std::chrono::milliseconds timeout{120'000};         // of one attempt
  std::chrono::milliseconds connect_timeout{10'000};  //
  std::chrono::milliseconds first_byte_timeout{0};    // until the head of a reply; 0: timeout
  std::uint32_t retries = 4;                          // after the first attempt
  std::chrono::milliseconds first_pause{500};         // doubled at each retry, 30 s at most
  std::size_t max_reply_bytes = 64U << 20U;
  // To this address with this key, by all processes of this user (request_pace.h); 0: no bound.
  double requests_per_minute = 0;
  Prices prices;
};

class Endpoint final : public ModelClient {
 public:
  struct Call {
    std::chrono::steady_clock::time_point deadline;
    const Cancellation* cancellation = nullptr;
    // Sees each delta of a streamed reply as it comes, without the key, should the endpoint repeat
    // it in some form (key_forms.h). Once it has seen a block, the request is not tried again.
    std::function<void(const Delta&)> observer;
    // Borrowed. The request goes out as this has it, and the answer comes back with its bytes;
    // `event` takes the place of the observer.
    PassThrough* raw = nullptr;
  };

  explicit Endpoint(EndpointConfig config)
      : config_(std::move(config)), forms_(forms_of_key(config_.key)) {}

  Result<Reply> complete(const Request& request) override;
  [[nodiscard]] const Losses& losses() const override { return losses_; }
  [[nodiscard]] std::optional<ModelError::Kind> refusal() const override { return refusal_; }

  // What a last attempt used that broke off after part of its reply had come, or was cancelled:
  // estimated, as an endpoint counts at the end. Nothing where a reply came or none began.
  struct Spent {
    Usage usage;
    double cost = 0;
  };
  [[nodiscard]] const Spent& spent() const { return spent_; }

  // A reply without counts of tokens gets an estimate, which losses() says: what nobody counts
  // would pass every limit.
  //
  // Sends a whole request as it is; `error` says what the endpoint said, when it said something.
  //
  // Rate limits, overload, errors of the server and lost connections are tried again, after
  // Retry-After where the endpoint gives it, otherwise with doubling pauses of which up to a
  // quarter is left to chance, so that many clients do not come back at once; never past the
  // deadline. Timeouts, and quotas that are used up, are not repeated.
  Result<Reply> send(const ModelRequest& request, const Call& call, ModelError& error);

  // Fills in where the request of a pass-through goes: the path, and the headers that the dialect
  // demands and it has not.
  Status address(const ModelRequest& request, PassThrough& raw) const;

 private:
  struct Attempt;
  Attempt attempt(const WireRequest& wire, bool stream, const Call& call);
  // Waits until a request may go.
  Status wait_for_turn(const Call& call) const;
  [[nodiscard]] RequestPace pace() const;
  [[nodiscard]] std::string without_key(std::string text) const;
  void scrub(Reply& reply) const;
  void take_head(const HttpReply& head, PassThrough& raw) const;

  EndpointConfig config_;
  std::vector<std::string> forms_;  // of the key
  Losses losses_;
  Spent spent_;
  std::optional<ModelError::Kind> refusal_;
};

}  // namespace gyges::model
