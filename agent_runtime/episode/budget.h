// What an episode has used of what it may use.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/episode/scenario.h"
#include "agent_runtime/model/conversation.h"

namespace gyges::episode {

struct ReachedLimit {
  std::string kind;    // of the episode's end: "token_limit"
  std::string name;    // in limits_hit: "tokens"
  std::string detail;  // in words
};

class Budget {
 public:
  explicit Budget(const ScenarioLimits& limits)
      : limits_(limits), begin_(std::chrono::steady_clock::now()) {}

  void add_turn() { ++amounts_.turns; }
  void add_reply(const model::Usage& usage, double cost,
                 std::chrono::steady_clock::duration waited) {
    amounts_.tokens += usage.input_tokens + usage.output_tokens;
    amounts_.cost += cost;
    waited_ += waited;
  }
  void add_call() { ++amounts_.tool_calls; }
  void add_output(std::uint64_t bytes) { amounts_.output_bytes += bytes; }

  [[nodiscard]] const Amounts& amounts() const { return amounts_; }
  // When the working time will be over, if the model is not asked again; max() without that limit.
  [[nodiscard]] std::chrono::steady_clock::time_point working_deadline() const;

  // Asked before the model is: tokens, cost, working time, output.
  [[nodiscard]] std::optional<ReachedLimit> before_reply() const;
  // Asked before a call is decided: calls, working time, output.
  [[nodiscard]] std::optional<ReachedLimit> before_call() const;

 private:
  [[nodiscard]] std::optional<ReachedLimit> common() const;
  ScenarioLimits limits_;
  Amounts amounts_;
  std::chrono::steady_clock::time_point begin_;
  std::chrono::steady_clock::duration waited_{};  // for the model
};

}  // namespace gyges::episode
