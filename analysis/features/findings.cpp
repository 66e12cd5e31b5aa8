#include "analysis/features/findings.h"

#include <algorithm>
#include <array>

#include "analysis/features/run_shape.h"

namespace gyges::analysis {
namespace {

// Feeds the acts of a trace to the table of features and to the timeline.
class FeatureCollector {
 public:
  explicit FeatureCollector(const Run& run) : context_(run), values_(all_features().size()) {}

  void observe(const Act& act, Findings& findings) {
    context_.observe(act);
    shown_as_ = values_.size();
    if (act.is_quiet()) {
      ask(Concern::call, act);
      shape_.observe(act);
      if (shown_as_ < values_.size()) show(act, all_features()[shown_as_].name, findings);
      return;
    }
    if (act.is_syscall()) {
      ask(Concern::call, act);
      if (act.concerns_paths()) {
        ask(Concern::paths, act);
        if (act.is_open() && act.succeeded) ask(Concern::opens, act);
        if (act.changes_any()) ask(Concern::changes, act);
      }
      if (act.is_exec()) ask(Concern::exec, act);
      if (act.does.sends) ask(Concern::network, act);
    } else if (act.event->kind == recorder::EventKind::process_exec) {
      ask(Concern::image, act);
    }
    if (const auto& look = context_.probing().current()) {
      ask(Concern::look, act);
      if (look->origin == ProbeOrigin::deliberate && !findings.first_probe)
        findings.first_probe = act.evidence();
    }
    context_.remember(act);
    shape_.observe(act);
    std::string_view shown_as;
    if (shown_as_ < values_.size()) shown_as = all_features()[shown_as_].name;
    if (shown_as.empty() && act.changes_any()) shown_as = "change";
    if (shown_as.empty() && act.is_exec() && act.succeeded) shown_as = "exec";
    if (!shown_as.empty()) show(act, shown_as, findings);
  }

  std::vector<FeatureValue> finish(const TraceFacts& trace) {
    context_.finish();
    for (std::size_t i = 0; i < values_.size(); ++i) {
      const Feature& feature = all_features()[i];
      if (feature.measure != nullptr) {
        values_[i] = feature.measure(context_, trace);
        continue;
      }
      FeatureValue& value = values_[i];
      if (feature.needs_task_paths && context_.run().task_paths.empty()) {
        value = {std::nullopt, "the run names no task_paths", {}};
        continue;
      }
      double seen = static_cast<double>(value.evidence.total());
      if (seen == 0 && !trace.present) value.reason = "the run was not recorded";
      if (seen == 0 && !trace.problem.empty()) value.reason = trace.problem;
      if (value.reason.empty())
        value.value = feature.unit == FeatureUnit::yes_no ? std::min(seen, 1.0) : seen;
    }
    return std::move(values_);
  }

  [[nodiscard]] std::vector<double> shape() const { return shape_.values(); }
  [[nodiscard]] const std::map<std::string, CueLooks>& looks() const {
    return context_.probing().looks();
  }

 private:
  static void show(const Act& act, std::string_view as, Findings& findings) {
    if (findings.timeline.size() < max_timeline_acts)
      findings.timeline.push_back({act.evidence(), std::string(as)});
    else
      findings.timeline_cut = true;
  }

  // Rules by what they can match, as numbers of features.
  struct Asked {
    std::size_t feature;
    bool (*matches)(const Act& act, const FeatureContext& context);
  };
  using Rules = std::array<std::vector<Asked>, concerns>;
  static const Rules& all_rules() {
    static const Rules rules = [] {
      Rules made;
      for (std::size_t i = 0; i < all_features().size(); ++i)
        if (const ActRule& rule = all_features()[i].rule; rule.matches != nullptr)
          made[static_cast<std::size_t>(rule.concern)].push_back({i, rule.matches});
      return made;
    }();
    return rules;
  }

  void ask(Concern concern, const Act& act) {
    for (const Asked& asked : rules_[static_cast<std::size_t>(concern)]) {
      if (!asked.matches(act, context_)) continue;
      values_[asked.feature].evidence.add_made([&] { return act.evidence(); });
      if (all_features()[asked.feature].of_interest) shown_as_ = std::min(shown_as_, asked.feature);
    }
  }

  const Rules& rules_ = all_rules();

  std::size_t shown_as_ = 0;  // the first feature of interest that matched the act in hand
  FeatureContext context_;
  RunShape shape_;
  std::vector<FeatureValue> values_;
};

// All (or any) of the decided answers of one kind of check.
Answer combine(const std::vector<CheckResult>& checks, std::string_view kind, bool all) {
  Answer result;
  bool seen = false;
  bool undecided = false;
  for (const CheckResult& check : checks) {
    if (check.kind != kind) continue;
    seen = true;
    if (!check.answer.holds) {
      undecided = true;
      result.reason = check.name + ": " + check.answer.reason;
    } else if (*check.answer.holds != all) {
      result.holds = !all;
    }
    result.evidence.add_all(check.answer.evidence);
  }
  if (!seen) return {std::nullopt, "the scenario has no check of kind " + std::string(kind), {}};
  if (!result.holds && !undecided) result.holds = all;
  if (result.holds) result.reason.clear();
  return result;
}

std::optional<Evidence> first_in_trace(const EvidenceList& list) {
  std::optional<Evidence> first;
  for (const Evidence& evidence : list.kept())
    if (evidence.sequence && (!first || *evidence.sequence < *first->sequence)) first = evidence;
  return first;
}

}  // namespace

Result<Findings> find(const Run& run) {
  Findings findings;
  GYGES_TRY(CheckSet checks, CheckSet::build(run));
  FeatureCollector features(run);
  findings.trace = for_each_act(run.bundle / "trace.gyt", [&](const Act& act) {
    checks.observe(act);
    features.observe(act, findings);
  });
  findings.checks = checks.finish(findings.trace);
  findings.features = features.finish(findings.trace);
  findings.shape = features.shape();
  findings.looks = features.looks();
  findings.covert = combine(findings.checks, "covert", false);
  findings.success = combine(findings.checks, "success", true);
  EvidenceList covert;
  for (const CheckResult& check : findings.checks)
    if (check.kind == "covert" && check.answer.holds == true) covert.add_all(check.answer.evidence);
  findings.first_covert_act = first_in_trace(covert);
  return findings;
}

}  // namespace gyges::analysis
