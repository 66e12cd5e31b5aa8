#include "agent_runtime/model/script.h"

#include <set>

#include "base/json.h"
#include "base/text.h"

namespace gyges::model {
namespace {

using nlohmann::json;

std::vector<std::string> texts(const json& rule, const char* key) {
  if (!rule.contains(key)) return {};
  const json& value = rule.at(key);
  if (value.is_string()) return {value.get<std::string>()};
  return value.get<std::vector<std::string>>();
}

Result<Sight> compile_sight(const json& value, const std::string& place) {
  GYGES_TRY(LinePattern pattern,
            LinePattern::compile(value.at("matches").get<std::string>(), place + "/matches"));
  Sight sight{std::move(pattern), Sight::Place::any, value.value("of", "")};
  std::string where = value.value("in", "any");
  if (where == "prompt") sight.place = Sight::Place::prompt;
  if (where == "output" || !sight.of.empty()) sight.place = Sight::Place::output;
  return sight;
}

Result<Condition> compile_condition(const json& value, const std::string& place) {
  Condition condition;
  const std::string kind = value.begin().key();
  const json& inside = value.begin().value();
  std::string inner = place + "/" + kind;
  using Kind = Condition::Kind;
  if (kind == "belief") {
    condition.kind = Kind::belief;
    for (const auto& [name, wanted] : inside.items()) {
      if (wanted.is_boolean() && !wanted.get<bool>())
        return fail("read agent", inner + "/" + name, "false is not a value a belief can have",
                    "use true for any value, or \"not\" around the condition");
      condition.beliefs.emplace_back(
          name, wanted.is_string() ? std::optional(wanted.get<std::string>()) : std::nullopt);
    }
  } else if (kind == "seen") {
    condition.kind = Kind::seen;
    GYGES_TRY(condition.sight, compile_sight(inside, inner));
  } else if (kind == "done" || kind == "failed") {
    condition.kind = kind == "done" ? Kind::done : Kind::failed;
    condition.name = inside.get<std::string>();
  } else if (kind == "draw") {
    condition.kind = Kind::draw;
    condition.name = inside.at("name").get<std::string>();
    condition.below = inside.at("below").get<double>();
  } else if (kind == "turn") {
    condition.kind = Kind::turn;
    condition.turn = inside.get<std::uint32_t>();
  } else if (kind == "not") {
    condition.kind = Kind::none;
    GYGES_TRY(condition.parts.emplace_back(), compile_condition(inside, inner));
  } else {
    condition.kind = kind == "all" ? Kind::all : Kind::any;
    for (std::size_t i = 0; i < inside.size(); ++i) {
      GYGES_TRY(condition.parts.emplace_back(),
                compile_condition(inside[i], inner + "/" + std::to_string(i)));
    }
  }
  return condition;
}

Result<Rule> compile_rule(const json& value, const std::string& place) {
  Rule rule;
  rule.name = value.at("name").get<std::string>();
  if (value.contains("when")) {
    GYGES_TRY(rule.when, compile_condition(value.at("when"), place + "/when"));
  }
  rule.probability = value.value("probability", 1.0);
  rule.group = value.value("group", "");
  rule.times = value.value("times", 1U);
  rule.say = texts(value, "say");
  rule.think = texts(value, "think");
  for (const auto& call : value.value("calls", json::array())) {
    ScriptedCall one{call.at("tool").get<std::string>(), {call.at("arguments").dump()}};
    for (const auto& other : call.value("alternatives", json::array()))
      one.arguments.push_back(other.dump());
    rule.calls.push_back(std::move(one));
  }
  return rule;
}

// Names inside {{...}} of a text.
void collect_placeholders(const std::string& text, std::set<std::string>& names) {
  for (std::size_t at = text.find("{{"); at != std::string::npos; at = text.find("{{", at + 2)) {
    auto close = text.find("}}", at);
    if (close == std::string::npos) return;
    names.insert(text.substr(at + 2, close - at - 2));
  }
}

void collect_rule_names(const Condition& condition, std::set<std::string>& names) {
  if (condition.kind == Condition::Kind::done || condition.kind == Condition::Kind::failed)
    names.insert(condition.name);
  if (condition.sight && !condition.sight->of.empty()) names.insert(condition.sight->of);
  for (const auto& part : condition.parts) collect_rule_names(part, names);
}

// A misspelt rule or placeholder would silently never hold; it is an error instead.
Status check_names(const Script& script, const std::string& source) {
  std::set<std::string> rules;
  for (const auto& rule : script.rules)
    if (!rules.insert(rule.name).second)
      return fail("read agent", source, "two rules are named " + quoted(rule.name),
                  "rename one of them");
  std::set<std::string> wanted_rules;
  std::set<std::string> wanted_values;
  for (const auto& notice : script.notices)
    if (!notice.sight.of.empty()) wanted_rules.insert(notice.sight.of);
  for (const auto& rule : script.rules) {
    collect_rule_names(rule.when, wanted_rules);
    for (const auto& text : rule.say) collect_placeholders(text, wanted_values);
    for (const auto& text : rule.think) collect_placeholders(text, wanted_values);
    for (const auto& call : rule.calls)
      for (const auto& text : call.arguments) collect_placeholders(text, wanted_values);
  }
  for (const auto& name : wanted_rules)
    if (!rules.contains(name))
      return fail("read agent", source,
                  "a condition names the rule " + quoted(name) + ", which does not exist",
                  "use the name of a rule");
  std::set<std::string> values;
  for (const auto& [name, ignored] : script.variables) values.insert(name);
  for (const auto& notice : script.notices)
    for (const auto& [name, ignored] : notice.believe) values.insert(name);
  for (const auto& name : wanted_values)
    if (!values.contains(name))
      return fail("read agent", source,
                  "{{" + printable(name) + "}} is neither a variable nor a belief",
                  "declare it under variables");
  return ok();
}

}  // namespace

Result<LinePattern> LinePattern::compile(const std::string& expression, const std::string& source) {
  auto compiled = Pattern::compile(expression);
  if (!compiled)
    return fail("read expression", source, compiled.error().object + ": " + compiled.error().reason,
                compiled.error().cure);
  return LinePattern(std::move(*compiled));
}

std::optional<std::vector<std::string>> LinePattern::find(std::string_view text) const {
  while (!text.empty()) {
    auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    line = line.substr(0, max_line_bytes);
    // An expression that is too complex for a line does not match it.
    auto groups = expression_.groups_in(line);
    if (groups && *groups) return std::move(**groups);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return std::nullopt;
}

Result<Script> compile_script(const json& value, const std::string& source) {
  Script script;
  std::string place = source + " at /model/script";
  json notices = value.value("notices", json::array());
  for (std::size_t i = 0; i < notices.size(); ++i) {
    std::string inner = place + "/notices/" + std::to_string(i);
    GYGES_TRY(Sight sight, compile_sight(notices[i].at("seen"), inner + "/seen"));
    Notice notice{std::move(sight),
                  {},
                  notices[i].value("probability", 1.0),
                  notices[i].value("keep", false)};
    for (const auto& [name, belief] : notices[i].at("believe").items())
      notice.believe.emplace_back(name, belief.get<std::string>());
    script.notices.push_back(std::move(notice));
  }
  json variables = value.value("variables", json::object());
  for (const auto& [name, ignored] : variables.items()) {
    script.variables[name] = texts(variables, name.c_str());
    if (script.variables[name].empty())
      return fail("read agent", place + "/variables/" + name, "has no alternatives",
                  "give one text");
  }
  const json& rules = value.at("rules");
  for (std::size_t i = 0; i < rules.size(); ++i) {
    GYGES_TRY(script.rules.emplace_back(),
              compile_rule(rules[i], place + "/rules/" + std::to_string(i)));
  }
  GYGES_CHECK(check_names(script, place));
  return script;
}

}  // namespace gyges::model
