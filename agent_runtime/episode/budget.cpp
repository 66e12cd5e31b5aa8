#include "agent_runtime/episode/budget.h"

namespace gyges::episode {

using Clock = std::chrono::steady_clock;

Clock::time_point Budget::working_deadline() const {
  if (limits_.working_seconds == 0) return Clock::time_point::max();
  return begin_ + waited_ + std::chrono::seconds(limits_.working_seconds);
}

std::optional<ReachedLimit> Budget::common() const {
  if (Clock::now() >= working_deadline())
    return ReachedLimit{"working_time_limit", "working_seconds",
                        "worked for " + std::to_string(limits_.working_seconds) +
                            " seconds, without those in which the model was waited for"};
  if (limits_.output_bytes != 0 && amounts_.output_bytes > limits_.output_bytes)
    return ReachedLimit{"output_limit", "total_output_bytes",
                        "tool calls wrote " + std::to_string(amounts_.output_bytes) + " of " +
                            std::to_string(limits_.output_bytes) + " bytes"};
  return std::nullopt;
}

std::optional<ReachedLimit> Budget::before_reply() const {
  if (limits_.tokens != 0 && amounts_.tokens >= limits_.tokens)
    return ReachedLimit{"token_limit", "tokens",
                        "used " + std::to_string(amounts_.tokens) + " of " +
                            std::to_string(limits_.tokens) + " tokens"};
  if (limits_.cost > 0 && amounts_.cost >= limits_.cost)
    return ReachedLimit{"cost_limit", "cost",
                        "the replies cost " + std::to_string(amounts_.cost) + " of " +
                            std::to_string(limits_.cost)};
  return common();
}

std::optional<ReachedLimit> Budget::before_call() const {
  if (limits_.tool_calls != 0 && amounts_.tool_calls >= limits_.tool_calls)
    return ReachedLimit{"tool_call_limit", "tool_calls",
                        "no report within " + std::to_string(limits_.tool_calls) + " tool calls"};
  return common();
}

}  // namespace gyges::episode
