#include "agent_runtime/episode/gate_rules.h"

#include <algorithm>
#include <set>

#include "base/files.h"
#include "base/glob.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::episode {
namespace {

using nlohmann::json;
using Kind = GateAction::Kind;

Result<Pattern> compile(const json& value, const std::string& place) {
  auto pattern = Pattern::compile(value.get<std::string>());
  if (!pattern) return fail("read gate", place, pattern.error().reason, pattern.error().cure);
  return pattern;
}

Result<GateCondition> read_condition(const json& value, const std::string& place) {
  GateCondition condition;
  condition.tools = value.value("tools", std::vector<std::string>{});
  condition.paths = value.value("paths", std::vector<std::string>{});
  condition.hosts = value.value("hosts", std::vector<std::string>{});
  condition.over = value.value("over", std::map<std::string, double>{});
  if (value.contains("share")) condition.share = value.at("share").get<double>();
  if (value.contains("text")) {
    GYGES_TRY(condition.text, compile(value.at("text"), place + "/text"));
  }
  if (value.contains("rationale")) {
    GYGES_TRY(condition.rationale, compile(value.at("rationale"), place + "/rationale"));
  }
  const json arguments = value.value("arguments", json::object());
  for (const auto& [name, expression] : arguments.items()) {
    GYGES_TRY(Pattern pattern, compile(expression, place + "/arguments/" + name));
    condition.arguments.emplace_back(name, std::move(pattern));
  }
  const json any = value.value("any", json::array());
  for (std::size_t i = 0; i < any.size(); ++i) {
    GYGES_TRY(GateCondition one, read_condition(any[i], place + "/any/" + std::to_string(i)));
    condition.any.push_back(std::move(one));
  }
  if (value.contains("not")) {
    GYGES_TRY(GateCondition one, read_condition(value.at("not"), place + "/not"));
    condition.none.push_back(std::move(one));
  }
  return condition;
}

Kind kind_of(const std::string& name) {
  if (name == "reject") return Kind::reject;
  if (name == "modify") return Kind::modify;
  if (name == "terminate") return Kind::terminate;
  if (name == "escalate") return Kind::escalate;
  return Kind::approve;
}

GateAction read_action(const json& value) {
  GateAction action;
  action.kind = kind_of(value.at("action").get<std::string>());
  action.reason = value.value("reason", "");
  action.show_reason = value.value("show_reason", true);
  if (value.contains("arguments")) action.arguments = value.at("arguments").dump();
  action.to = value.value("to", "");
  action.url = value.value("url", "");
  action.monitor = value.value("monitor", "");
  action.show_rationale = value.value("show_rationale", true);
  action.timeout_seconds = value.value("timeout_seconds", 60U);
  action.terminate_on_timeout = value.value("on_timeout", "reject") == "terminate";
  return action;
}

bool matches_one(const std::vector<std::string>& globs, const std::vector<std::string>& items) {
  return std::any_of(items.begin(), items.end(), [&](const std::string& item) {
    return std::any_of(globs.begin(), globs.end(),
                       [&](const std::string& glob) { return glob_matches(glob, item); });
  });
}

// A search that cannot be finished counts as found: a text made to defeat it must not pass.
bool found(const Pattern& pattern, std::string_view text) {
  auto result = pattern.found_in(text);
  return !result || *result;
}

double amount(const Amounts& amounts, const std::string& name) {
  if (name == "turns") return amounts.turns;
  if (name == "tool_calls") return amounts.tool_calls;
  if (name == "tokens") return static_cast<double>(amounts.tokens);
  if (name == "cost") return amounts.cost;
  if (name == "seconds") return amounts.seconds;
  return static_cast<double>(amounts.output_bytes);
}

}  // namespace

Result<GateRules> load_gate(const std::filesystem::path& file) {
  GYGES_TRY(std::string text, read_file(file));
  GYGES_TRY(json value, parse_json(text, file.string()));
  GYGES_CHECK(validate_json(value, "gate", file.string()));
  GateRules gate;
  gate.name = value.at("name").get<std::string>();
  gate.sha256 = to_hex(sha256(text));
  gate.record_only = value.value("mode", "enforce") == "record";
  gate.otherwise = kind_of(value.value("otherwise", "approve"));
  std::set<std::string> names;
  const json& rules = value.at("rules");
  for (std::size_t i = 0; i < rules.size(); ++i) {
    std::string place = file.string() + " at /rules/" + std::to_string(i);
    GateRule rule;
    rule.name = rules[i].at("name").get<std::string>();
    if (!names.insert(rule.name).second)
      return fail("read gate", place, "two rules are named " + rule.name, "rename one");
    GYGES_TRY(rule.when, read_condition(rules[i].value("when", json::object()), place + "/when"));
    rule.at_most = rules[i].value("at_most", 0U);
    rule.then = read_action(rules[i].at("then"));
    gate.rules.push_back(std::move(rule));
  }
  return gate;
}

bool holds(const GateCondition& condition, const std::string& rule, const CallInQuestion& call) {
  if (!condition.tools.empty() && !matches_one(condition.tools, {call.pending.call.name}))
    return false;
  for (const auto& [name, pattern] : condition.arguments) {
    auto at = call.arguments.find(name);
    if (at == call.arguments.end()) return false;
    if (!found(pattern, at->is_string() ? at->get<std::string>()
                                        : at->dump(-1, ' ', false, json::error_handler_t::replace)))
      return false;
  }
  const auto& texts = call.facts.texts;
  if (condition.text && std::none_of(texts.begin(), texts.end(), [&](const std::string& text) {
        return found(*condition.text, text);
      }))
    return false;
  if (!condition.paths.empty() && !matches_one(condition.paths, call.facts.paths)) return false;
  if (!condition.hosts.empty() && !matches_one(condition.hosts, call.facts.hosts)) return false;
  if (condition.rationale && !found(*condition.rationale, call.pending.rationale)) return false;
  for (const auto& [name, bound] : condition.over)
    if (amount(call.pending.amounts, name) <= bound) return false;
  if (condition.share &&
      cues::SeededStream(call.seed, "gate/" + rule + "/" + std::to_string(call.pending.call.call))
              .uniform() >= *condition.share)
    return false;
  auto one = [&](const GateCondition& other) { return holds(other, rule, call); };
  if (!condition.any.empty() && std::none_of(condition.any.begin(), condition.any.end(), one))
    return false;
  return std::none_of(condition.none.begin(), condition.none.end(), one);
}

}  // namespace gyges::episode
