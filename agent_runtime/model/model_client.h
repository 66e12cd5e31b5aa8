// What answers in a conversation: a provider's endpoint, a recording, or a scripted model.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent_runtime/model/cancellation.h"
#include "agent_runtime/model/conversation.h"
#include "agent_runtime/model/model_request.h"
#include "base/error.h"

namespace gyges::model {

struct Request {
  const std::vector<Message>& messages;       // borrowed; grows from one request to the next
  const std::vector<ToolDeclaration>& tools;  // borrowed
  std::uint64_t seed = 0;
  std::chrono::steady_clock::time_point deadline;
  const Cancellation* cancellation = nullptr;  // borrowed; none: it cannot be cancelled
};

// One client serves one conversation. Not thread-safe.
class ModelClient {
 public:
  virtual ~ModelClient() = default;

  // The next reply. Fails when the model cannot be reached, refuses, or answers what cannot be
  // understood, at the deadline and when cancelled. Errors and replies never contain a key.
  virtual Result<Reply> complete(const Request& request) = 0;

  // What the endpoint said instead of a reply to the last request; nullopt: there was one, or it
  // was not the endpoint that failed.
  [[nodiscard]] virtual std::optional<ModelError::Kind> refusal() const { return std::nullopt; }

  // What of the last request could not be said in the endpoint's dialect.
  [[nodiscard]] virtual const Losses& losses() const {
    static const Losses none;
    return none;
  }
};

}  // namespace gyges::model
