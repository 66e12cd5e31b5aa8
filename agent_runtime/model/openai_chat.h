// Client of OpenAI-compatible chat endpoints (POST BASE_URL/chat/completions, without streaming).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "agent_runtime/model/model_client.h"

namespace gyges::model {

struct OpenAiChatConfig {
  std::string base_url;
  std::string name;        // of the model
  std::string key;         // secret; empty: no Authorization header
  std::string parameters;  // text of a JSON object merged into the request; empty: none
  bool send_seed = false;
  std::chrono::milliseconds timeout{120'000};  // of one attempt
  std::uint32_t retries = 4;                   // after the first attempt
  std::chrono::milliseconds first_pause{500};  // doubled at each retry, 30 s at most
  std::size_t max_reply_bytes = 32U << 20U;
};

class OpenAiChat final : public ModelClient {
 public:
  explicit OpenAiChat(OpenAiChatConfig config) : config_(std::move(config)) {}

  // Status 429 and 5xx and lost connections are tried again, after Retry-After where the endpoint
  // gives it, otherwise with doubling pauses; never past the deadline. Timeouts are not repeated.
  Result<Reply> complete(const Request& request) override;

 private:
  [[nodiscard]] std::string without_key(std::string text) const;
  OpenAiChatConfig config_;
};

// The wire format on its own. The request's seed is included only where the config says so.
std::string chat_request_body(const OpenAiChatConfig& config, const Request& request);
// Unknown members are ignored; anything missing or of a wrong type is an error that names the
// place. Arguments of a call that are no JSON object are kept in the call with its fault set.
Result<Reply> parse_chat_reply(const std::string& body, const std::string& source);

}  // namespace gyges::model
