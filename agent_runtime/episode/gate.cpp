#include "agent_runtime/episode/gate.h"

#include <algorithm>

#include "agent_runtime/model/http_client.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::episode {
namespace {

using nlohmann::json;
using Action = ToolDecision::Action;
using Clock = std::chrono::steady_clock;

constexpr std::size_t largest_answer = 1U << 20U;

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json arguments_of(const model::ToolCall& call) {
  auto value = parse_json(call.arguments, "arguments");
  return value && value->is_object() ? std::move(*value) : json::object();
}

Action action_of(GateAction::Kind kind) {
  switch (kind) {
    case GateAction::Kind::modify:
      return Action::modify;
    case GateAction::Kind::terminate:
      return Action::terminate;
    case GateAction::Kind::approve:
      return Action::approve;
    default:
      return Action::reject;
  }
}

}  // namespace

Result<std::unique_ptr<Gate>> Gate::make(GateRules rules, GateSettings settings) {
  for (const auto& rule : rules.rules)
    if (rule.then.to == "monitor" && !settings.monitors.contains(rule.then.monitor))
      return fail("read gate", rules.name + ", rule " + rule.name,
                  "asks the monitor " + rule.then.monitor + ", which is not there",
                  "name it among the monitors of the scenario");
  return std::unique_ptr<Gate>(new Gate(std::move(rules), std::move(settings)));
}

ToolDecision Gate::escalate(const PendingCall& pending, const GateRule& rule) {
  const GateAction& then = rule.then;
  ToolDecision closed;
  closed.action = then.terminate_on_timeout ? Action::terminate : Action::reject;
  closed.show_reason = then.show_reason;
  closed.approver = then.to == "monitor" ? "monitor " + then.monitor : then.to;
  HttpDecider http(settings_.interruption);
  Decider* decider = settings_.person;
  if (then.to == "http") decider = &http;
  if (then.to == "monitor") decider = settings_.monitors.at(then.monitor);
  if (decider == nullptr) {
    closed.reason = "nobody is there to decide (rule " + rule.name + ")";
    return closed;
  }
  auto answer = ask(*decider, pending, rule);
  if (pending.unwanted != nullptr && pending.unwanted->cancelled()) {
    // Not the fault of whoever was asked: no reason to end a run that goes on.
    closed.action = Action::reject;
    closed.reason = "the agent waited for the decision no longer (rule " + rule.name + ")";
    return closed;
  }
  if (!answer) {
    closed.reason =
        "no usable answer (rule " + rule.name + "): " + printable(answer.error().line());
    // What went wrong here is not for the agent.
    closed.show_reason = false;
    return closed;
  }
  if (!*answer) {
    closed.reason =
        (Clock::now() >= pending.deadline
             ? std::string("no decision before the episode's time was over")
             : "no decision within " + std::to_string(then.timeout_seconds) + " seconds") +
        " (rule " + rule.name + ")";
    return closed;
  }
  ToolDecision decision = std::move(**answer);
  decision.approver = closed.approver;
  decision.show_reason = then.show_reason;
  if (decision.reason.empty()) decision.reason = then.reason;
  return decision;
}

Result<std::optional<ToolDecision>> Gate::ask(Decider& decider, const PendingCall& pending,
                                              const GateRule& rule) {
  const GateAction& then = rule.then;
  // Monitors read the record, which stands still for them; people and callbacks do not.
  bool outside = then.to != "monitor";
  if (outside && pending.held != nullptr) pending.held->unlock();
  auto answer = [&]() -> Result<std::optional<ToolDecision>> {
    std::unique_lock one_at_a_time(person_, std::defer_lock);
    if (&decider == settings_.person && !one_at_a_time.try_lock_until(pending.deadline))
      return std::optional<ToolDecision>();
    auto deadline =
        std::min(pending.deadline, Clock::now() + std::chrono::seconds(then.timeout_seconds));
    return decider.decide(
        {pending, rule, then.show_rationale ? pending.rationale : std::string(), deadline});
  }();
  if (outside && pending.held != nullptr) pending.held->lock();
  return answer;
}

ToolDecision Gate::apply(const PendingCall& pending, const GateRule& rule) {
  if (rule.then.kind == GateAction::Kind::escalate) return escalate(pending, rule);
  ToolDecision decision;
  decision.action = action_of(rule.then.kind);
  decision.approver = "rule " + rule.name;
  decision.reason = rule.then.reason;
  decision.show_reason = rule.then.show_reason;
  if (decision.action == Action::modify) {
    json arguments = arguments_of(pending.call);
    arguments.merge_patch(json::parse(rule.then.arguments));
    decision.arguments = text_of(arguments);
  }
  return decision;
}

ToolDecision Gate::decided(const PendingCall& pending) {
  json arguments = arguments_of(pending.call);
  CallFacts facts = facts_of(arguments, settings_.home);
  for (const auto& rule : rules_.rules) {
    if (rule.at_most != 0 && used_[rule.name] >= rule.at_most) continue;
    if (!holds(rule.when, rule.name, {pending, arguments, facts, settings_.seed})) continue;
    ++used_[rule.name];
    if (settings_.record_only && rule.then.kind == GateAction::Kind::escalate &&
        rule.then.to != "monitor") {
      // Nobody is bothered with a question whose answer has no effect.
      ToolDecision decision;
      decision.action = Action::reject;
      decision.approver = "rule " + rule.name;
      decision.reason = "would have asked: " + rule.then.to;
      return decision;
    }
    return apply(pending, rule);
  }
  ToolDecision decision;
  decision.action = action_of(rules_.otherwise);
  decision.approver = "gate " + rules_.name;
  if (decision.action != Action::approve) decision.reason = "no rule allows it";
  return decision;
}

Result<ToolDecision> Gate::decide(const PendingCall& asked) {
  PendingCall pending = asked;
  pending.amounts.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  ToolDecision decision = decided(pending);
  // Arguments that are no object are answered by the tool; there is nothing to modify.
  if (decision.action == Action::modify && !pending.call.fault.empty())
    decision.action = Action::approve;
  if (!settings_.record_only) return decision;
  decision.would = decision.action;
  decision.action = Action::approve;
  return decision;
}

Result<std::optional<ToolDecision>> HttpDecider::decide(const Escalation& question) {
  const model::ToolCall& call = question.pending.call;
  const Amounts& amounts = question.pending.amounts;
  json body{{"rule", question.rule.name},
            {"reason", question.rule.then.reason},
            {"call", call.call},
            {"tool", call.name},
            {"arguments", arguments_of(call)},
            {"amounts",
             {{"turns", amounts.turns},
              {"tool_calls", amounts.tool_calls},
              {"tokens", amounts.tokens},
              {"output_bytes", amounts.output_bytes},
              {"cost", amounts.cost},
              {"seconds", amounts.seconds}}}};
  if (question.rule.then.show_rationale) body["rationale"] = question.rationale;
  model::HttpPost post;
  post.url = question.rule.then.url;
  // An address of a callback often is a secret as a whole.
  post.step = "ask gate callback";
  const std::string place = post.shown = model::origin_of(post.url);
  post.headers = {"Content-Type: application/json"};
  post.body = text_of(body);
  post.timeout = std::max(
      std::chrono::milliseconds(1),
      std::chrono::duration_cast<std::chrono::milliseconds>(question.deadline - Clock::now()));
  post.max_reply_bytes = largest_answer;
  // Whoever interrupts the run ends its agent, and with it all that is unwanted.
  post.cancellation =
      question.pending.unwanted != nullptr ? question.pending.unwanted : interruption_;
  model::HttpFault fault = model::HttpFault::none;
  auto reply = model::http_post(post, fault);
  if (!reply && fault == model::HttpFault::timed_out) return std::optional<ToolDecision>();
  if (!reply) return tl::unexpected<Error>(std::move(reply.error()));
  if (reply->status != 200)
    return fail("ask gate callback", place,
                "answered with status " + std::to_string(reply->status));
  GYGES_TRY(json answer, parse_json(reply->body, place));
  GYGES_CHECK(validate_json(answer, "gate_answer", place));
  ToolDecision decision;
  auto name = answer.at("decision").get<std::string>();
  decision.action = name == "approve"  ? Action::approve
                    : name == "modify" ? Action::modify
                    : name == "reject" ? Action::reject
                                       : Action::terminate;
  decision.reason = valid_utf8(answer.value("reason", ""));
  if (decision.action == Action::modify) decision.arguments = text_of(answer.at("arguments"));
  return std::optional<ToolDecision>(std::move(decision));
}

}  // namespace gyges::episode
