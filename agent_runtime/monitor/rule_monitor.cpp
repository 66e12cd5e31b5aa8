#include "agent_runtime/monitor/rule_monitor.h"

#include <algorithm>
#include <map>
#include <set>

#include "agent_runtime/episode/call_facts.h"
#include "base/glob.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/pattern.h"
#include "base/text.h"

namespace gyges::monitor {
namespace {

using episode::Moment;
using nlohmann::json;

constexpr std::size_t most_evidence = 20;

struct Condition {
  std::string kind;  // call, output, event, report, rules
  std::vector<std::string> tools;
  std::vector<std::string> paths;
  std::vector<std::string> hosts;
  std::vector<std::string> names;  // of system calls, or of rules
  std::string event;               // its kind
  std::optional<Pattern> text;     // of call, output, report
  std::optional<Pattern> rationale;
  std::optional<Pattern> argv;
  std::optional<Pattern> address;
  std::optional<bool> succeeded;
  bool outside_calls = false;
};

struct Rule {
  std::string name;
  double score = 0;
  std::string reason;
  std::uint64_t at_least = 1;
  Condition when;
};

Status put(std::optional<Pattern>& pattern, const json& value, const char* name,
           const std::string& place) {
  if (!value.contains(name)) return ok();
  auto compiled = Pattern::compile(value.at(name).get<std::string>());
  if (!compiled)
    return fail("read monitor", place + "/" + name, compiled.error().reason, compiled.error().cure);
  pattern = std::move(*compiled);
  return ok();
}

Result<Condition> read_condition(const json& value, const std::string& place) {
  Condition condition;
  condition.kind = value.begin().key();
  const json& inside = value.begin().value();
  std::string inner = place + "/" + condition.kind;
  if (condition.kind == "report") {
    GYGES_CHECK(put(condition.text, value, "report", place));
    return condition;
  }
  if (condition.kind == "rules") {
    condition.names = inside.get<std::vector<std::string>>();
    return condition;
  }
  using Strings = std::vector<std::string>;
  condition.tools = inside.value("tools", Strings{});
  condition.paths = inside.value("paths", Strings{});
  condition.hosts = inside.value("hosts", Strings{});
  condition.names = inside.value("syscalls", Strings{});
  condition.event = inside.value("kind", "");
  condition.outside_calls = inside.value("outside_calls", false);
  if (inside.contains("succeeded")) condition.succeeded = inside.at("succeeded").get<bool>();
  GYGES_CHECK(put(condition.text, inside, condition.kind == "call" ? "text" : "matches", inner));
  GYGES_CHECK(put(condition.rationale, inside, "rationale", inner));
  GYGES_CHECK(put(condition.argv, inside, "argv", inner));
  GYGES_CHECK(put(condition.address, inside, "address", inner));
  return condition;
}

// A search that cannot be finished counts as found: a text made to defeat it must not pass.
bool found(const std::optional<Pattern>& pattern, std::string_view text) {
  if (!pattern) return true;
  auto result = pattern->found_in(text);
  return !result || *result;
}

bool one_matches(const std::vector<std::string>& globs, const std::vector<std::string>& items) {
  return globs.empty() || std::any_of(items.begin(), items.end(), [&](const std::string& item) {
           return any_glob_matches(globs, item);
         });
}

std::string_view kind_name(SeenEvent::Kind kind) {
  switch (kind) {
    case SeenEvent::Kind::exec:
      return "exec";
    case SeenEvent::Kind::change:
      return "change";
    case SeenEvent::Kind::open:
      return "open";
    case SeenEvent::Kind::network:
      return "network";
    case SeenEvent::Kind::refused:
      return "refused";
    case SeenEvent::Kind::other:
      break;
  }
  return "other";
}

class RuleMonitor final : public Monitor {
 public:
  RuleMonitor(MonitorSettings settings, std::vector<Rule> rules, std::string home)
      : Monitor(std::move(settings)), rules_(std::move(rules)), home_(std::move(home)) {}

 protected:
  void judge(const Scene& scene, Verdict& verdict) override {
    verdict.score = 0;
    for (const Rule& rule : rules_) {
      // A conjunction of rules holds for ever once it does; it is news once.
      if (rule.when.kind == "rules" && matched_.contains(rule.name)) continue;
      std::vector<std::string> evidence = matches(rule.when, scene);
      if (evidence.empty()) continue;
      std::uint64_t& count = counts_[rule.name];
      count += evidence.size();
      if (count < rule.at_least) continue;
      matched_.insert(rule.name);
      if (rule.score >= *verdict.score) {
        verdict.reason = rule.reason.empty() ? rule.name : rule.reason;
        verdict.score = rule.score;
      }
      verdict.rules.push_back(rule.name);
      for (std::string& id : evidence)
        if (verdict.evidence.size() < most_evidence) verdict.evidence.push_back(std::move(id));
    }
  }
  // Counts go on, so that a budget spares the verdicts and not the memory of what happened.
  void pass_over(const Scene& scene) override {
    Verdict unused;
    judge(scene, unused);
  }

 private:
  [[nodiscard]] std::vector<std::string> matches(const Condition& when, const Scene& scene) const {
    if (when.kind == "call") return call_matches(when, scene);
    if (when.kind == "output") return output_matches(when, scene);
    if (when.kind == "event") return event_matches(when, scene);
    if (when.kind == "report")
      return scene.moment == Moment::end && !scene.report.empty() && found(when.text, scene.report)
                 ? std::vector<std::string>{"report"}
                 : std::vector<std::string>{};
    bool all = std::all_of(when.names.begin(), when.names.end(),
                           [&](const std::string& name) { return matched_.contains(name); });
    return all ? std::vector<std::string>{"rules"} : std::vector<std::string>{};
  }

  [[nodiscard]] std::vector<std::string> call_matches(const Condition& when,
                                                      const Scene& scene) const {
    if (scene.moment != Moment::before || scene.current == nullptr) return {};
    const SeenCall& call = *scene.current;
    if (!one_matches(when.tools, {call.tool})) return {};
    auto arguments = parse_json(call.arguments, "arguments");
    episode::CallFacts facts =
        episode::facts_of(arguments && arguments->is_object() ? *arguments : json::object(), home_);
    if (!one_matches(when.paths, facts.paths) || !one_matches(when.hosts, facts.hosts)) return {};
    if (when.text && std::none_of(facts.texts.begin(), facts.texts.end(),
                                  [&](const std::string& text) { return found(when.text, text); }))
      return {};
    if (when.rationale && !found(when.rationale, call.rationale)) return {};
    return {"call:" + std::to_string(call.call)};
  }

  static std::vector<std::string> output_matches(const Condition& when, const Scene& scene) {
    if (scene.moment != Moment::after || scene.current == nullptr) return {};
    if (!one_matches(when.tools, {scene.current->tool})) return {};
    if (!found(when.text, scene.current->output)) return {};
    return {"call:" + std::to_string(scene.current->call)};
  }

  static std::vector<std::string> event_matches(const Condition& when, const Scene& scene) {
    std::vector<std::string> evidence;
    for (const SeenEvent& event : scene.events) {
      if (when.event == "refused" ? !event.refused
                                  : when.event != "any" && when.event != kind_name(event.kind))
        continue;
      if (!when.names.empty() &&
          std::find(when.names.begin(), when.names.end(), event.name) == when.names.end())
        continue;
      if (when.succeeded && *when.succeeded != event.succeeded) continue;
      if (when.outside_calls && (event.call == 0 || event.call == scene.call)) continue;
      if (!one_matches(when.paths, event.paths)) continue;
      if (when.argv && !found(when.argv, join(event.argv, " "))) continue;
      if (when.address && !found(when.address, event.address)) continue;
      evidence.push_back("event:" + std::to_string(event.sequence));
    }
    return evidence;
  }

  std::vector<Rule> rules_;
  std::string home_;
  std::map<std::string, std::uint64_t> counts_;
  std::set<std::string> matched_;
};

}  // namespace

Result<std::unique_ptr<Monitor>> make_rule_monitor(MonitorSettings settings, const json& value,
                                                   const std::filesystem::path& file,
                                                   const std::string& home) {
  std::vector<Rule> rules;
  std::set<std::string> names;
  const json& list = value.at("rules");
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::string place = file.string() + " at /rules/" + std::to_string(i);
    Rule rule;
    rule.name = list[i].at("name").get<std::string>();
    rule.score = list[i].at("score").get<double>();
    rule.reason = list[i].value("reason", "");
    rule.at_least = list[i].value("at_least", std::uint64_t{1});
    GYGES_TRY(rule.when, read_condition(list[i].at("when"), place + "/when"));
    // A rule can ask only for rules before it, which have been looked at by then.
    if (rule.when.kind == "rules")
      for (const auto& name : rule.when.names)
        if (!names.contains(name))
          return fail("read monitor", place + "/when/rules",
                      "there is no rule " + quoted(name) + " before this one",
                      "name a rule that stands above");
    if (!names.insert(rule.name).second)
      return fail("read monitor", place, "two rules are named " + rule.name, "rename one");
    rules.push_back(std::move(rule));
  }
  return std::unique_ptr<Monitor>(
      std::make_unique<RuleMonitor>(std::move(settings), std::move(rules), home));
}

}  // namespace gyges::monitor
