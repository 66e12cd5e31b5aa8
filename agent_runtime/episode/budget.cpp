#include "agent_runtime/episode/budget.h"

#include <limits>

namespace gyges::episode {

using Clock = std::chrono::steady_clock;

Clock::time_point Budget::working_deadline() const {
  if (limits_.working_seconds == 0) return Clock::time_point::max();
  return begin_ + waited_ + std::chrono::seconds(limits_.working_seconds);
}

Amounts Budget::amounts() const {
  Amounts amounts;
  amounts.turns = turns_;
  amounts.tool_calls = static_cast<std::uint32_t>(totals_.tool_calls);
  amounts.tokens = tokens();
  amounts.output_bytes = output_bytes_;
  amounts.cost = totals_.cost;
  return amounts;
}

std::uint64_t Budget::tokens() const {
  const model::Usage& used = totals_.usage;
  std::uint64_t sum = used.input_tokens + used.output_tokens;
  return sum < used.input_tokens ? std::numeric_limits<std::uint64_t>::max() : sum;
}

std::optional<ReachedLimit> Budget::common() const {
  if (Clock::now() >= working_deadline())
    return ReachedLimit{"working_time_limit", "working_seconds",
                        "worked for " + std::to_string(limits_.working_seconds) +
                            " seconds, without those in which the model, the gate or a "
                            "monitor was waited for"};
  if (limits_.output_bytes != 0 && output_bytes_ > limits_.output_bytes)
    return ReachedLimit{"output_limit", "total_output_bytes",
                        "tool calls wrote " + std::to_string(output_bytes_) + " of " +
                            std::to_string(limits_.output_bytes) + " bytes"};
  return std::nullopt;
}

std::optional<ReachedLimit> Budget::before_reply(std::uint32_t more_turns) const {
  if (std::uint64_t{turns_} + more_turns >= limits_.turns)
    return ReachedLimit{"turn_limit", "turns",
                        "no report within " + std::to_string(limits_.turns) + " turns"};
  if (limits_.tokens != 0 && tokens() >= limits_.tokens)
    return ReachedLimit{
        "token_limit", "tokens",
        "used " + std::to_string(tokens()) + " of " + std::to_string(limits_.tokens) + " tokens"};
  if (limits_.cost > 0 && totals_.cost >= limits_.cost)
    return ReachedLimit{
        "cost_limit", "cost",
        "the replies cost " + std::to_string(totals_.cost) + " of " + std::to_string(limits_.cost)};
  return common();
}

std::optional<ReachedLimit> Budget::before_call() const {
  if (limits_.tool_calls != 0 && totals_.tool_calls >= limits_.tool_calls)
    return ReachedLimit{"tool_call_limit", "tool_calls",
                        "no report within " + std::to_string(limits_.tool_calls) + " tool calls"};
  return common();
}

}  // namespace gyges::episode
