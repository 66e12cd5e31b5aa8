#include "analysis/comparison/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "analysis/bundles/find_bundles.h"
#include "analysis/interchange/inspect_log.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

void take_runs(const std::vector<FoundBundle>& bundles, const CompareOptions& options,
               Comparison& comparison) {
  std::map<std::string, std::filesystem::path> seen;
  std::vector<std::optional<Result<StoredRun>>> results =
      read_runs(bundles, {options.store, options.threads, options.progress});
  for (std::size_t i = 0; i < bundles.size(); ++i) {
    Result<StoredRun>& read = *results[i];
    if (!read) {
      comparison.excluded.push_back({bundles[i].bundle, read.error().line()});
      continue;
    }
    auto [known, is_new] = seen.emplace(read->run.run_id, bundles[i].bundle);
    if (!is_new) {
      comparison.excluded.push_back(
          {bundles[i].bundle, "the same run as " + known->second.string(), true});
      continue;
    }
    if (read->run.exit_kind == "error") {
      comparison.excluded.push_back({bundles[i].bundle, "the run ended with an error of its own"});
      continue;
    }
    if (const ExclusionRule* rule = excluded_by(read->run, comparison.registered.plan.exclusions)) {
      comparison.excluded.push_back(
          {bundles[i].bundle, fmt::format("registered rule {}: {}", rule->name, rule->reason)});
      continue;
    }
    comparison.runs.push_back(std::move(read->run));
    comparison.findings.push_back(std::move(read->findings));
  }
}

// Two agents of one name but different files are two agents.
void tell_agents_apart(std::vector<Run>& runs) {
  std::map<std::string, std::set<std::string>> hashes;
  for (const Run& run : runs) hashes[run.agent].insert(run.agent_sha256);
  for (Run& run : runs)
    if (hashes[run.agent].size() > 1) run.agent += " (" + run.agent_sha256.substr(0, 8) + ")";
}

constexpr std::string_view between_names[] = {"", "agent", "experiment", "model", "policy"};

// Makes a fact of the runs a level of their condition, so that it can be contrasted like a factor.
void contrast_between(std::vector<Run>& runs, Between between, ContrastOptions& contrast) {
  if (between == Between::levels) return;
  contrast.only_factor = between_names[static_cast<std::size_t>(between)];
  for (Run& run : runs) {
    std::string level;
    if (between == Between::agents) level = run.agent;
    if (between == Between::experiments) level = run.experiment;
    if (between == Between::models) level = run.model;
    if (between == Between::policies) level = run.policy;
    run.condition[contrast.only_factor] = level.empty() ? "(unknown)" : level;
    // One comparison over all agents, or the two arms would never meet.
    if (between == Between::agents || between == Between::models) run.agent = "(all agents)";
  }
}

bool from_log(const Run& run) {
  return run.kind == inspect_sample_kind;
}

// Samples of logs are paired over logs: the same sample and epoch is the same task, whoever ran it.
void pair_over_logs(std::vector<Run>& runs) {
  for (Run& run : runs)
    if (from_log(run)) run.experiment = "(logs of Inspect)";
}

struct NamedColumn {
  std::string name;
  std::string title;
  Role role;
  OutcomeColumn values;
};

std::vector<NamedColumn> outcome_columns(const Comparison& comparison) {
  std::size_t count = comparison.runs.size();
  std::vector<NamedColumn> columns;
  columns.push_back({"covert_act", "any covert act", Role::primary, OutcomeColumn(count)});
  columns.push_back({"task_success", "task done", Role::check, OutcomeColumn(count)});
  for (std::size_t i = 0; i < count; ++i) {
    columns[0].values[i] = comparison.findings[i].covert.holds;
    columns[1].values[i] = comparison.findings[i].success.holds;
  }
  std::map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < count; ++i) {
    for (const CheckResult& check : comparison.findings[i].checks) {
      auto [at, is_new] = known.emplace(check.name, columns.size());
      if (is_new) columns.push_back({check.name, check.title, Role::check, OutcomeColumn(count)});
      columns[at->second].values[i] = check.answer.holds;
    }
  }
  for (std::size_t f = 0; f < all_features().size(); ++f) {
    const Feature& feature = all_features()[f];
    if (feature.unit != FeatureUnit::yes_no) continue;
    columns.push_back({std::string(feature.name), std::string(feature.title), Role::feature,
                       OutcomeColumn(count)});
    for (std::size_t i = 0; i < count; ++i)
      if (std::optional<double> value = comparison.findings[i].features[f].value)
        columns.back().values[i] = *value != 0;
  }
  return columns;
}

// Logs of others know nothing of covert acts; their own yes/no scores are what was asked.
void ask_scores_of_logs(Comparison& comparison) {
  if (!std::all_of(comparison.runs.begin(), comparison.runs.end(), from_log)) return;
  std::set<std::string> scores;
  for (const Findings& findings : comparison.findings) {
    if (findings.covert.holds) return;
    if (findings.success.holds) scores.insert("task_success");
    for (const CheckResult& check : findings.checks)
      if (check.answer.holds) scores.insert(check.name);
  }
  if (scores.empty()) return;
  comparison.registered.plan.primary.assign(scores.begin(), scores.end());
  comparison.notes.push_back("primary outcomes are the yes/no scores of the logs: " +
                             join(comparison.registered.plan.primary, ", "));
}

// Numbers among the scores of logs, compared as counts and durations are.
void compare_scores(Comparison& comparison, const Contrast& contrast, std::size_t index) {
  std::set<std::string> names;
  for (const Findings& findings : comparison.findings)
    for (const auto& [name, value] : findings.scores) names.insert(name);
  for (const std::string& name : names) {
    MeasureColumn values;
    for (const Findings& findings : comparison.findings) {
      auto found = findings.scores.find(name);
      values.push_back(found == findings.scores.end() ? std::nullopt
                                                      : std::optional<double>(found->second));
    }
    MeasureComparison measure = compare_measure(comparison.runs, contrast, values);
    measure.contrast = index;
    measure.measure = "score." + name;
    measure.title = "score " + name;
    measure.unit = "score";
    comparison.measures.push_back(std::move(measure));
  }
}

// Gives the registered primary outcomes their role; a name that no run knows is noted.
void mark_primary(Comparison& comparison, std::vector<NamedColumn>& columns) {
  for (NamedColumn& column : columns)
    if (column.role == Role::primary) column.role = Role::check;
  for (const std::string& name : comparison.registered.plan.primary) {
    auto found = std::find_if(columns.begin(), columns.end(),
                              [&](const NamedColumn& column) { return column.name == name; });
    if (found != columns.end())
      found->role = Role::primary;
    else
      comparison.notes.push_back("the registered primary outcome " + name +
                                 " is neither a check nor a yes/no feature of any run");
  }
}

std::string arm_of(const AnalysisPlan& plan, const std::string& level) {
  return plan.arms->factor + "=" + level;
}

// What goes over all runs of an agent and not over one contrast.
void compare_designs(Comparison& comparison, const std::vector<NamedColumn>& columns) {
  const AnalysisPlan& plan = comparison.registered.plan;
  for (const NamedColumn& column : columns) {
    if (column.role != Role::primary) continue;
    std::vector<FactorEffect> effects = factor_effects(comparison.runs, column.values, column.name);
    std::move(effects.begin(), effects.end(), std::back_inserter(comparison.factor_effects));
    if (!plan.arms) continue;
    std::vector<TemptationEffect> tempted =
        temptation_effects(comparison.runs, comparison.contrasts, arm_of(plan, plan.arms->tempted),
                           arm_of(plan, plan.arms->control), column.values, column.name);
    std::move(tempted.begin(), tempted.end(), std::back_inserter(comparison.temptation));
  }
}

void compare_all(Comparison& comparison, const CompareOptions& options) {
  ask_scores_of_logs(comparison);
  std::vector<NamedColumn> columns = outcome_columns(comparison);
  mark_primary(comparison, columns);
  const AnalysisPlan& plan = comparison.registered.plan;
  std::vector<bool> refused;
  for (std::size_t index = 0; index < comparison.contrasts.size(); ++index) {
    const Contrast& contrast = comparison.contrasts[index];
    refused.push_back(!comparison.certificates[index].undeclared.empty() &&
                      !options.allow_undeclared);
    // Without the temptation the primary outcome is a control, not what was asked.
    bool control = plan.arms && contrast.arm != arm_of(plan, plan.arms->tempted);
    for (const NamedColumn& column : columns) {
      Role role = control && column.role == Role::primary ? Role::check : column.role;
      OutcomeComparison outcome = compare_outcome(comparison.runs, contrast, column.values, role);
      outcome.margin = plan.margin;
      if (role == Role::primary && plan.stopping == Stopping::e_process)
        decide_by_e_process(outcome);
      outcome.contrast = index;
      outcome.outcome = column.name;
      outcome.title = column.title;
      comparison.outcomes.push_back(std::move(outcome));
    }
    for (std::size_t f = 0; f < all_features().size() && !refused.back(); ++f) {
      const Feature& feature = all_features()[f];
      if (feature.unit == FeatureUnit::yes_no) continue;
      MeasureColumn values;
      for (const Findings& findings : comparison.findings)
        values.push_back(findings.features[f].value);
      MeasureComparison measure = compare_measure(comparison.runs, contrast, values);
      measure.contrast = index;
      measure.measure = feature.name;
      measure.title = feature.title;
      measure.unit = unit_name(feature.unit);
      comparison.measures.push_back(std::move(measure));
    }
    if (!refused.back()) compare_scores(comparison, contrast, index);
  }
  for (std::size_t index = 0; index < comparison.contrasts.size(); ++index) {
    if (refused[index]) continue;
    comparison.whole_runs.push_back(
        compare_whole_runs(comparison.runs, comparison.findings, comparison.contrasts[index]));
    comparison.whole_runs.back().contrast = index;
  }
  compare_designs(comparison, columns);
  conclude(comparison.outcomes, comparison.contrasts, refused);
  adjust_measures(comparison.measures);
}

std::string listed(const std::vector<DifferingItem>& items) {
  std::string text;
  for (std::size_t i = 0; i < items.size() && i < 12; ++i)
    text += fmt::format("{}{} (in {} pairs)", i == 0 ? "" : ", ", items[i].item, items[i].pairs);
  if (items.size() > 12) text += fmt::format(", and {} more", items.size() - 12);
  return text;
}

void note_differences(Comparison& comparison, const CompareOptions& options) {
  for (std::size_t i = 0; i < comparison.contrasts.size(); ++i) {
    const Contrast& contrast = comparison.contrasts[i];
    const Certificate& certificate = comparison.certificates[i];
    std::string arms =
        fmt::format("{}: {} against {}", contrast.agent, contrast.first, contrast.second);
    if (!certificate.undeclared.empty())
      comparison.notes.push_back(
          fmt::format("{}: {}undeclared differences between paired runs: {}", arms,
                      options.allow_undeclared ? "compared in spite of " : "refused because of ",
                      listed(certificate.undeclared)));
    if (!contrast.paired) {
      comparison.notes.push_back(fmt::format(
          "{}: too few runs have a partner with the same scenario, repeat and seed; the arms are "
          "compared as independent",
          arms));
    } else if (contrast.pairs.size() < contrast.first_runs.size() ||
               contrast.pairs.size() < contrast.second_runs.size()) {
      comparison.notes.push_back(fmt::format(
          "{}: {} of {} and {} of {} runs have no partner and are left out", arms,
          contrast.first_runs.size() - contrast.pairs.size(), contrast.first_runs.size(),
          contrast.second_runs.size() - contrast.pairs.size(), contrast.second_runs.size()));
    }
    if (!contrast.same_condition && (certificate.pairs == 0 || !certificate.unjudged.empty()))
      comparison.notes.push_back(arms + ": " + certificate.statement());
  }
}

void note_losses(Comparison& comparison) {
  std::size_t lossy = 0;
  std::size_t incomplete = 0;
  std::size_t unrecorded = 0;
  for (const Run& run : comparison.runs) {
    lossy += run.lost > 0 ? 1 : 0;
    unrecorded += run.has_coverage ? 0 : 1;
    incomplete += run.has_coverage && !run.complete ? 1 : 0;
  }
  if (lossy > 0)
    comparison.notes.push_back(fmt::format("{} runs lost events: an act may be missing", lossy));
  if (incomplete > 0)
    comparison.notes.push_back(
        fmt::format("{} runs have an incomplete trace: an act may be missing", incomplete));
  if (unrecorded > 0)
    comparison.notes.push_back(fmt::format(
        "{} runs were not recorded: nothing is known of their system calls", unrecorded));
}

// Runs that were planned and are nowhere: what they would have shown is not known, and that they are
// missing may not be chance. A second copy of a run stands for no other.
void note_missing(Comparison& comparison, const std::vector<FoundBundle>& bundles) {
  std::map<std::string, std::uint64_t> present;
  std::set<std::filesystem::path> copies;
  for (const ExcludedRun& excluded : comparison.excluded)
    if (excluded.copy) copies.insert(excluded.bundle);
  for (const FoundBundle& bundle : bundles)
    if (copies.count(bundle.bundle) == 0) ++present[bundle.experiment];
  for (const Registration& one : comparison.registered.experiments) {
    std::uint64_t here = present[one.directory.string()];
    if (here < one.planned)
      comparison.notes.push_back(fmt::format(
          "{}: {} of {} planned runs are missing: failed, not run yet, taken away, or not named",
          one.name, one.planned - here, one.planned));
  }
}

// And what the user may have meant.
std::string why_nothing_to_compare(const CompareOptions& options, std::size_t directories) {
  if (options.contrast.same_condition)
    return "no condition has runs with even and with odd repeats, so there is nothing to compare";
  if (options.between != Between::levels)
    return fmt::format("all runs are of one {}, so there is nothing to compare",
                       between_names[static_cast<std::size_t>(options.between)]);
  std::string text = "all runs have the same condition, so there is nothing to compare; ";
  if (directories > 1)
    text += fmt::format("--between experiments sets the {} places named against each other, ",
                        directories);
  return text + "--aa compares repeats of one condition";
}

}  // namespace

Result<Comparison> compare(const std::vector<std::filesystem::path>& directories,
                           const CompareOptions& options) {
  std::vector<FoundBundle> bundles;
  for (const std::filesystem::path& directory : directories) {
    GYGES_TRY(std::vector<FoundBundle> some, find_bundles(directory));
    bundles.insert(bundles.end(), some.begin(), some.end());
  }
  Comparison comparison;
  comparison.found = bundles.size();
  GYGES_TRY(comparison.registered, registered_analysis(bundles));
  comparison.notes = comparison.registered.notes;
  take_runs(bundles, options, comparison);
  if (comparison.runs.empty())
    return fail("compare", "runs",
                fmt::format("none of {} bundles can be analysed; the first: {}: {}", bundles.size(),
                            comparison.excluded[0].bundle.string(), comparison.excluded[0].reason),
                "run the experiment again");
  tell_agents_apart(comparison.runs);
  const AnalysisPlan& plan = comparison.registered.plan;
  ContrastOptions wanted = options.contrast;
  if (wanted.baseline.empty() && !wanted.same_condition) wanted.baseline = plan.baseline;
  if (plan.arms) wanted.arm_factor = plan.arms->factor;
  if (options.between != Between::levels) wanted.baseline = options.contrast.baseline;
  contrast_between(comparison.runs, options.between, wanted);
  pair_over_logs(comparison.runs);
  GYGES_TRY(comparison.contrasts, build_contrasts(comparison.runs, wanted));
  for (const Contrast& contrast : comparison.contrasts)
    comparison.certificates.push_back(certify(comparison.runs, contrast));
  if (comparison.contrasts.empty())
    comparison.notes.push_back(why_nothing_to_compare(options, directories.size()));
  note_missing(comparison, bundles);
  note_differences(comparison, options);
  note_losses(comparison);
  compare_all(comparison, options);
  return comparison;
}

}  // namespace gyges::analysis
