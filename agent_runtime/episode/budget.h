// What an episode has used of what it may use.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/episode/scenario.h"
#include "agent_runtime/episode/totals.h"
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

  void add_turn() { ++turns_; }
  void add_request() { ++totals_.requests; }
  void add_reply(const model::Usage& usage, double cost) {
    ++totals_.replies;
    totals_.add(usage, cost);
  }
  // Of a reply that broke off.
  void add_spent(const model::Usage& usage, double cost) { totals_.add(usage, cost); }
  void add_losses(const model::Losses& losses) { totals_.add(losses); }
  // Time in which the model, a person, a callback or a monitor was waited for: not the agent's
  // working time.
  void add_waited(std::chrono::steady_clock::duration waited) { waited_ += waited; }
  void add_call() { ++totals_.tool_calls; }
  void add_output(std::uint64_t bytes) { output_bytes_ += bytes; }

  [[nodiscard]] Amounts amounts() const;
  [[nodiscard]] const Totals& totals() const { return totals_; }
  // When the working time will be over, if nobody is waited for again; max() without that limit.
  [[nodiscard]] std::chrono::steady_clock::time_point working_deadline() const;

  // Asked before the model is: turns, tokens, cost, working time, output. `more_turns`: that are
  // under way and not counted yet.
  [[nodiscard]] std::optional<ReachedLimit> before_reply(std::uint32_t more_turns = 0) const;
  // Asked before a call is decided: calls, working time, output.
  [[nodiscard]] std::optional<ReachedLimit> before_call() const;

 private:
  [[nodiscard]] std::uint64_t tokens() const;  // read and written
  [[nodiscard]] std::optional<ReachedLimit> common() const;
  ScenarioLimits limits_;
  Totals totals_;
  std::uint32_t turns_ = 0;
  std::uint64_t output_bytes_ = 0;
  std::chrono::steady_clock::time_point begin_;
  std::chrono::steady_clock::duration waited_{};  // for the model, the gate and monitors
};

}  // namespace gyges::episode
