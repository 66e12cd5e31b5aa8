#include "agent_runtime/model/scripted_model.h"

#include <algorithm>

#include "base/json.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::model {
namespace {

using cues::SeededStream;

// Rules of the same group that stand next to each other are put in an order drawn from the seed.
std::vector<std::size_t> shuffled(const std::vector<Rule>& rules, std::uint64_t seed) {
  std::vector<std::size_t> order(rules.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (std::size_t begin = 0; begin < rules.size();) {
    std::size_t end = begin + 1;
    while (end < rules.size() && !rules[begin].group.empty() &&
           rules[end].group == rules[begin].group)
      ++end;
    SeededStream stream(seed, "group/" + std::to_string(begin) + "/" + rules[begin].group);
    for (std::size_t left = end - begin; left > 1; --left)
      std::swap(order[begin + left - 1], order[begin + stream.below(left)]);
    begin = end;
  }
  return order;
}

std::string with_groups(const std::string& text, const std::vector<std::string>& groups) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '9') {
      auto group = static_cast<std::size_t>(text[++i] - '0');
      if (group < groups.size()) out += groups[group];
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

ScriptedModel::ScriptedModel(std::shared_ptr<const Script> script, std::uint64_t seed)
    : script_(std::move(script)), seed_(seed), order_(shuffled(script_->rules, seed)) {
  for (const auto& [name, alternatives] : script_->variables)
    variables_[name] = chosen(alternatives, "variable/" + name);
}

double ScriptedModel::draw(const std::string& name) const {
  return SeededStream(seed_, name).uniform();
}

std::string ScriptedModel::chosen(const std::vector<std::string>& texts,
                                  const std::string& name) const {
  if (texts.empty()) return {};
  return texts[SeededStream(seed_, name).below(texts.size())];
}

bool ScriptedModel::matches(const Sight& sight, const Seen& seen) const {
  if (sight.place != Sight::Place::any && sight.place != seen.place) return false;
  if (!sight.of.empty() && sight.of != seen.rule) return false;
  return sight.pattern.find(seen.text).has_value();
}

void ScriptedModel::conclude(const Seen& seen) {
  for (std::size_t i = 0; i < script_->notices.size(); ++i) {
    const Notice& notice = script_->notices[i];
    if (!matches(notice.sight, seen)) continue;
    // Drawn for each text anew: who overlooks a line in the prompt may still notice it in a file.
    std::string name = "notice/" + std::to_string(i) + "/" + std::to_string(seen_.size());
    if (notice.probability < 1 && draw(name) >= notice.probability) continue;
    auto groups = notice.sight.pattern.find(seen.text);
    for (const auto& [belief, value] : notice.believe) {
      if (notice.keep && beliefs_.contains(belief)) continue;
      beliefs_[belief] = with_groups(value, *groups);
    }
  }
}

void ScriptedModel::take_in(const Message& message) {
  if (message.role == Role::assistant) return;
  Seen seen{Sight::Place::prompt, "", text_of(message)};
  if (message.role == Role::tool) {
    seen.place = Sight::Place::output;
    if (auto found = rule_of_call_.find(message.tool_call_id); found != rule_of_call_.end()) {
      seen.rule = found->second;
      failed_[seen.rule] = message.tool_failed;
    }
  }
  conclude(seen);
  seen_.push_back(std::move(seen));
}

bool ScriptedModel::holds(const Condition& condition) const {
  using Kind = Condition::Kind;
  auto part_holds = [&](const Condition& part) { return holds(part); };
  switch (condition.kind) {
    case Kind::always:
      return true;
    case Kind::belief:
      return std::all_of(
          condition.beliefs.begin(), condition.beliefs.end(), [&](const auto& wanted) {
            auto held = beliefs_.find(wanted.first);
            return held != beliefs_.end() && (!wanted.second || held->second == *wanted.second);
          });
    case Kind::seen:
      return std::any_of(seen_.begin(), seen_.end(),
                         [&](const Seen& seen) { return matches(*condition.sight, seen); });
    case Kind::done:
      return acted_.contains(condition.name);
    case Kind::failed: {
      auto found = failed_.find(condition.name);
      return found != failed_.end() && found->second;
    }
    case Kind::draw:
      return draw("draw/" + condition.name) < condition.below;
    case Kind::turn:
      return turn_ >= condition.turn;
    case Kind::all:
      return std::all_of(condition.parts.begin(), condition.parts.end(), part_holds);
    case Kind::any:
      return std::any_of(condition.parts.begin(), condition.parts.end(), part_holds);
    case Kind::none:
      return !holds(condition.parts.front());
  }
  return false;
}

bool ScriptedModel::may_act(const Rule& rule) const {
  auto acted = acted_.find(rule.name);
  if (rule.times != 0 && acted != acted_.end() && acted->second >= rule.times) return false;
  if (rule.probability < 1 && draw("rule/" + rule.name) >= rule.probability) return false;
  return holds(rule.when);
}

std::string ScriptedModel::fill_in(const std::string& text) const {
  std::string out;
  std::size_t at = 0;
  for (;;) {
    auto open = text.find("{{", at);
    auto close = open == std::string::npos ? open : text.find("}}", open);
    if (close == std::string::npos) break;
    out += text.substr(at, open - at);
    std::string name = text.substr(open + 2, close - open - 2);
    if (auto belief = beliefs_.find(name); belief != beliefs_.end())
      out += belief->second;
    else if (auto variable = variables_.find(name); variable != variables_.end())
      out += variable->second;
    at = close + 2;
  }
  return out + text.substr(at);
}

Result<std::string> ScriptedModel::fill_in_arguments(const std::string& arguments) const {
  auto value = nlohmann::json::parse(arguments, nullptr, false);
  if (!value.is_object()) return fail("act by script", arguments, "the arguments are no object");
  for (auto& [key, inside] : value.items())
    if (inside.is_string()) inside = fill_in(inside.get<std::string>());
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Reply> ScriptedModel::act(const Rule& rule) {
  std::uint32_t time = ++acted_[rule.name];
  std::string name = rule.name + "/" + std::to_string(time);
  Reply reply;
  reply.message.role = Role::assistant;
  if (std::string thought = fill_in(chosen(rule.think, "think/" + name)); !thought.empty())
    reply.message.content.push_back({Part::Kind::reasoning, std::move(thought)});
  if (std::string words = fill_in(chosen(rule.say, "say/" + name)); !words.empty())
    reply.message.content.push_back({Part::Kind::text, std::move(words)});
  for (std::size_t i = 0; i < rule.calls.size(); ++i) {
    ToolCall call;
    call.id = "call_" + std::to_string(++calls_);
    call.name = rule.calls[i].tool;
    GYGES_TRY(call.arguments, fill_in_arguments(chosen(rule.calls[i].arguments,
                                                       "call/" + name + "/" + std::to_string(i))));
    rule_of_call_[call.id] = rule.name;
    reply.message.tool_calls.push_back(std::move(call));
  }
  reply.stop_reason = rule.calls.empty() ? StopReason::end : StopReason::tool_use;
  return reply;
}

Result<Reply> ScriptedModel::complete(const Request& request) {
  for (; taken_in_ < request.messages.size(); ++taken_in_) take_in(request.messages[taken_in_]);
  ++turn_;
  for (std::size_t index : order_)
    if (may_act(script_->rules[index])) return act(script_->rules[index]);
  Reply reply;
  reply.message.role = Role::assistant;
  return reply;
}

}  // namespace gyges::model
