// A gate: decides tool calls by rules, and asks others where a rule says so.
//
// It fails closed: whoever is asked and does not answer in time, or answers what cannot be used,
// has rejected the call (or ended the episode, where the rule says so), and the record says why.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/episode/gate_rules.h"
#include "agent_runtime/model/cancellation.h"

namespace gyges::episode {

// A question that a rule hands on.
struct Escalation {
  const PendingCall& pending;
  const GateRule& rule;
  std::string rationale;  // empty where the rule withholds it
  std::chrono::steady_clock::time_point deadline;
};

// Who can be asked: a person, an HTTP callback, a monitor. Asked one question at a time.
class Decider {
 public:
  virtual ~Decider() = default;
  // approve, modify (with all arguments), reject or terminate; nullopt when there is no answer
  // before the deadline. An error means that the answer cannot be used; the gate rejects.
  virtual Result<std::optional<ToolDecision>> decide(const Escalation& question) = 0;
};

struct GateSettings {
  bool record_only = false;  // everything is executed; what would have been decided is recorded
  std::uint64_t seed = 0;
  std::string home;                          // of the agent, for relative paths
  Decider* person = nullptr;                 // borrowed; null: nobody is there, which is no answer
  std::map<std::string, Decider*> monitors;  // borrowed, by name
  // Once cancelled, callbacks are waited for no longer. Borrowed; may be null.
  const model::Cancellation* interruption = nullptr;
};

class Gate final : public ToolApprover {
 public:
  // Fails when a rule asks a monitor that is not there.
  static Result<std::unique_ptr<Gate>> make(GateRules rules, GateSettings settings);

  Result<ToolDecision> decide(const PendingCall& pending) override;

 private:
  Gate(GateRules rules, GateSettings settings)
      : rules_(std::move(rules)),
        settings_(std::move(settings)),
        begin_(std::chrono::steady_clock::now()) {}
  ToolDecision decided(const PendingCall& pending);
  ToolDecision apply(const PendingCall& pending, const GateRule& rule);
  ToolDecision escalate(const PendingCall& pending, const GateRule& rule);
  Result<std::optional<ToolDecision>> ask(Decider& decider, const PendingCall& pending,
                                          const GateRule& rule);

  GateRules rules_;
  GateSettings settings_;
  std::chrono::steady_clock::time_point begin_;
  std::map<std::string, std::uint32_t> used_;  // times that a rule has applied
  std::timed_mutex person_;                    // hears one question at a time
};

// Asks an endpoint: POST of a JSON object, answered by policies/schemas/gate_answer.schema.json.
// Redirects are not followed; anything but status 200 is no usable answer.
class HttpDecider final : public Decider {
 public:
  // `interruption` is borrowed; may be null.
  explicit HttpDecider(const model::Cancellation* interruption = nullptr)
      : interruption_(interruption) {}
  Result<std::optional<ToolDecision>> decide(const Escalation& question) override;

 private:
  const model::Cancellation* interruption_;
};

}  // namespace gyges::episode
