// The gate between what an agent requests and what is executed. A decision is recorded on its own:
// requested, decided and executed are three facts.
#pragma once

#include <string>

#include "agent_runtime/model/conversation.h"

namespace gyges::episode {

struct ToolDecision {
  bool approved = true;
  std::string approver = "auto";
  std::string reason;  // shown to the model when rejected
};

// Used by the thread of one episode.
class ToolApprover {
 public:
  virtual ~ToolApprover() = default;
  virtual ToolDecision decide(const model::ToolCall& call) = 0;
};

// Approves everything: the sandbox is the boundary.
class AutoApprover final : public ToolApprover {
 public:
  ToolDecision decide(const model::ToolCall&) override { return {}; }
};

}  // namespace gyges::episode
