// The gate between what an agent requests and what is executed. A decision is recorded on its own:
// requested, decided and executed are three facts.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "agent_runtime/model/cancellation.h"
#include "agent_runtime/model/conversation.h"
#include "base/error.h"

namespace gyges::episode {

struct ToolDecision {
  enum class Action { approve, modify, reject, terminate };
  Action action = Action::approve;
  std::string approver = "auto";
  std::string reason;
  bool show_reason = true;  // to the model, when rejected
  std::string arguments;    // modify: the text of a JSON object that takes the place of the request
  // Of a gate that only records: what it would have done; `action` is approve then.
  std::optional<Action> would;

  [[nodiscard]] bool executes() const {
    return action == Action::approve || action == Action::modify;
  }
};

const char* decision_name(ToolDecision::Action action);  // "approved", "modified", ...

// What an episode has used so far.
struct Amounts {
  std::uint32_t turns = 0;
  std::uint32_t tool_calls = 0;  // decided before this one
  std::uint64_t tokens = 0;
  std::uint64_t output_bytes = 0;
  double cost = 0;
  double seconds = 0;  // since the gate was made, which is when the episode began; set by the gate
};

struct PendingCall {
  const model::ToolCall& call;
  std::string rationale;  // what the agent said and thought in the message that holds the call
  Amounts amounts;
  std::chrono::steady_clock::time_point deadline;  // of the episode
  // Held by the caller, and given up while somebody outside is waited for, so that other turns of
  // the agent go on; null: nobody else waits.
  std::unique_lock<std::mutex>* held = nullptr;
  // Cancelled once nobody waits for the decision any more: people and callbacks are waited for no
  // longer then. Borrowed; null: somebody waits until the end.
  const model::Cancellation* unwanted = nullptr;
};

// Used by the threads of one episode, one at a time but for the time in which PendingCall::held is
// given up.
class ToolApprover {
 public:
  virtual ~ToolApprover() = default;
  // An error ends the episode with it: a gate that cannot decide lets nothing through.
  virtual Result<ToolDecision> decide(const PendingCall& pending) = 0;
};

// Approves everything: the sandbox is the boundary.
class AutoApprover final : public ToolApprover {
 public:
  Result<ToolDecision> decide(const PendingCall&) override { return ToolDecision{}; }
};

}  // namespace gyges::episode
