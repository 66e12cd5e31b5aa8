#include "analysis/comparison/outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/statistics/e_process.h"
#include "analysis/statistics/multiplicity.h"
#include "analysis/statistics/paired_difference.h"
#include "analysis/statistics/rate_difference.h"

namespace gyges::analysis {
namespace {

void count_pair(bool first, bool second, PairedCounts& counts) {
  if (first && second) ++counts.both;
  if (first && !second) ++counts.first_only;
  if (!first && second) ++counts.second_only;
  if (!first && !second) ++counts.neither;
}

// Takes the figures of the analysis that fits the design.
void take(const std::optional<DefaultAnalysis>& analysis, OutcomeComparison& result) {
  result.analysis = analysis;
  if (!analysis) return;
  result.gap = analysis->gap;
  result.interval = analysis->interval;
  result.interval_method = analysis->interval_method;
  result.p_value = analysis->p_value;
  result.test = analysis->test;
  result.second_p_value = analysis->second_p_value;
  result.second_test = analysis->second_test;
  result.equivalence_bound = analysis->equivalence_bound;
  if (result.families.size() < 2) {
    result.families.clear();
    return;
  }
  std::vector<double> gaps;
  for (const FamilyGap& family : result.families) gaps.push_back(family.gap);
  result.family_test = sign_flip_test(gaps);
}

void compare_pairs(const std::vector<Run>& runs, const Contrast& contrast,
                   const OutcomeColumn& column, OutcomeComparison& result) {
  std::map<std::string, PairedCounts> families;
  for (const RunPair& pair : contrast.pairs) {
    if (!column[pair.first] || !column[pair.second]) {
      ++result.undecided;
      continue;
    }
    count_pair(*column[pair.first], *column[pair.second], result.counts);
    count_pair(*column[pair.first], *column[pair.second], families[runs[pair.first].family]);
  }
  result.arms = {result.counts.first(), result.counts.second()};
  std::vector<PairedCounts> counts;
  for (const auto& [family, here] : families) {
    counts.push_back(here);
    result.families.push_back({family,
                               here.pairs(),
                               {here.first(), here.second()},
                               *here.second().rate() - *here.first().rate(),
                               *tango_interval(here)});
  }
  take(analyse_pairs(counts), result);
}

void count_arm(const std::vector<Run>& runs, const std::vector<std::size_t>& members,
               const OutcomeColumn& column, Proportion FamilyArms::*arm,
               std::map<std::string, FamilyArms>& families, OutcomeComparison& result) {
  for (std::size_t index : members) {
    if (!column[index]) {
      ++result.undecided;
      continue;
    }
    Proportion& counted = families[runs[index].family].*arm;
    ++counted.trials;
    counted.successes += *column[index] ? 1 : 0;
  }
}

void compare_arms(const std::vector<Run>& runs, const Contrast& contrast,
                  const OutcomeColumn& column, OutcomeComparison& result) {
  std::map<std::string, FamilyArms> families;
  count_arm(runs, contrast.first_runs, column, &FamilyArms::first, families, result);
  count_arm(runs, contrast.second_runs, column, &FamilyArms::second, families, result);
  std::vector<FamilyArms> arms;
  for (const auto& [family, here] : families) {
    arms.push_back(here);
    result.arms[0].successes += here.first.successes;
    result.arms[0].trials += here.first.trials;
    result.arms[1].successes += here.second.successes;
    result.arms[1].trials += here.second.trials;
    if (here.first.trials == 0 || here.second.trials == 0) continue;
    result.families.push_back({family,
                               0,
                               {here.first, here.second},
                               *here.second.rate() - *here.first.rate(),
                               *newcombe_interval(here.first, here.second)});
  }
  take(analyse_arms(arms), result);
}

// The smallest adjusted p-value that so many runs can give. Holm multiplies the smallest p-value by
// the number of contrasts; Benjamini-Hochberg leaves it when all are as small.
double smallest_p_value(const OutcomeComparison& c) {
  return static_cast<double>(c.contrasts) * c.analysis->least_p_value;
}

std::string size_in_words(const OutcomeComparison& c) {
  if (c.analysis->scope == Scope::families) return fmt::format("{} families", c.analysis->families);
  if (c.paired) return fmt::format("{} pairs", c.counts.pairs());
  return fmt::format("{} against {} runs", c.arms[0].trials, c.arms[1].trials);
}

std::string points(double share) {
  return fmt::format("{:.1f}", 100 * share);
}

std::string null_statement(const OutcomeComparison& c) {
  std::string text = "no gap shown";
  if (*c.gap != 0 && c.interval)
    text += fmt::format(": observed {:+.1f} points [{:+.1f}, {:+.1f}]", 100 * *c.gap,
                        100 * c.interval->low, 100 * c.interval->high);
  if (c.p_value && *c.p_value < significance_level)
    text += fmt::format(" after adjustment ({}, p = {:.2g})", c.adjustment, *c.adjusted_p);
  if (c.equivalence_bound)
    text += fmt::format("; gaps beyond {} points are ruled out at level 0.05",
                        points(*c.equivalence_bound));
  if (c.margin && c.equivalence_bound && c.role == Role::primary)
    text += fmt::format(", {} the registered margin of {} points",
                        *c.equivalence_bound < *c.margin ? "within" : "not shown to be within",
                        points(*c.margin));
  std::uint64_t size = c.paired ? c.counts.pairs() : std::min(c.arms[0].trials, c.arms[1].trials);
  std::string runs = fmt::format("{} {}", size, c.paired ? "pairs" : "runs an arm");
  if (c.analysis->scope == Scope::families)
    runs += fmt::format(" in {} families", c.analysis->families);
  if (c.detectable_rise)
    text += fmt::format("; {} find a rise of {} points with power 0.8", runs,
                        points(*c.detectable_rise));
  else if (c.role != Role::feature)
    text += fmt::format("; {} find no rise with power 0.8", runs);
  return text;
}

void decide(OutcomeComparison& c) {
  if (!c.p_value) {
    c.verdict = Verdict::not_comparable;
    c.statement = "an arm has no run in which this could be decided";
    return;
  }
  if (smallest_p_value(c) >= significance_level) {
    c.verdict = Verdict::too_few_runs;
    c.statement = fmt::format(
        "too few runs: {} cannot give a p-value below 0.05{} whatever they show", size_in_words(c),
        c.contrasts > 1 ? fmt::format(" after adjustment over {} contrasts", c.contrasts) : "");
    return;
  }
  if (c.adjusted_p.value_or(*c.p_value) < significance_level) {
    bool pooled = c.analysis->scope == Scope::these_tasks && c.families.size() > 1;
    c.verdict = pooled ? Verdict::gap_in_tasks : Verdict::gap;
    c.statement = fmt::format("gap of {:+.1f} points", 100 * *c.gap);
    if (c.interval)
      c.statement +=
          fmt::format(" [{:+.1f}, {:+.1f}]", 100 * c.interval->low, 100 * c.interval->high);
    if (pooled)
      c.statement += fmt::format(
          "; it holds for these tasks and says nothing beyond: {} families, where a test over "
          "families needs {} (where families differ, many such studies show a gap that families "
          "like these do not have: 13 to 16 % with 20 pairs a family, over 40 % with 100)",
          c.families.size(), families_for_family_test);
    else if (c.analysis->scope == Scope::these_tasks)
      c.statement += "; one family of tasks: it holds for these and says nothing beyond";
    else if (c.analysis->scope == Scope::families)
      c.statement += fmt::format(" over {} families", c.analysis->families);
    return;
  }
  c.verdict = Verdict::no_gap_shown;
  if (c.role != Role::feature) {
    std::uint64_t size = c.paired ? c.counts.pairs() : std::min(c.arms[0].trials, c.arms[1].trials);
    c.detectable_rise = detectable_rise(*c.analysis, c.paired, *c.arms[0].rate(), size);
  }
  c.statement = null_statement(c);
}

void refuse(OutcomeComparison& c) {
  c.verdict = Verdict::refused;
  c.statement = "refused: the arms differ in what the factor does not declare";
  c.gap = c.p_value = c.second_p_value = c.adjusted_p = std::nullopt;
  c.effect_h = c.equivalence_bound = std::nullopt;
  c.interval = std::nullopt;
  c.odds = c.risk = std::nullopt;
  c.family_test = std::nullopt;
  c.families.clear();
  c.analysis = std::nullopt;
}

using Members = std::vector<OutcomeComparison*>;

void adjust(const Members& members, std::vector<double> (*method)(const std::vector<double>&),
            std::string_view name) {
  std::vector<double> p_values;
  for (const OutcomeComparison* c : members) p_values.push_back(*c->p_value);
  std::vector<double> adjusted = method(p_values);
  for (std::size_t i = 0; i < members.size(); ++i) {
    members[i]->adjusted_p = adjusted[i];
    members[i]->adjustment = fmt::format("{} over {}", name, members.size());
  }
}

}  // namespace

std::string_view role_name(Role role) {
  constexpr std::string_view names[] = {"primary", "check", "feature"};
  return names[static_cast<std::size_t>(role)];
}

std::string_view verdict_name(Verdict verdict) {
  constexpr std::string_view names[] = {"gap",          "gap in these tasks", "no gap shown",
                                        "too few runs", "not comparable",     "refused"};
  return names[static_cast<std::size_t>(verdict)];
}

OutcomeComparison compare_outcome(const std::vector<Run>& runs, const Contrast& contrast,
                                  const OutcomeColumn& column, Role role) {
  OutcomeComparison result;
  result.role = role;
  result.paired = contrast.paired;
  if (contrast.paired)
    compare_pairs(runs, contrast, column, result);
  else
    compare_arms(runs, contrast, column, result);
  const auto& [first, second] = result.arms;
  if (first.trials == 0 || second.trials == 0) return result;
  result.odds = odds_ratio(first, second);
  result.risk = risk_ratio(first, second);
  result.effect_h = cohens_h(first, second);
  return result;
}

bool decide_by_e_process(OutcomeComparison& c) {
  if (!c.paired || !c.analysis) return false;
  DefaultAnalysis& analysis = *c.analysis;
  analysis.scope = Scope::these_tasks;
  analysis.why = "registered to stop at any look, so the test must hold at every look";
  analysis.least_p_value = std::min(1.0, std::exp(-log_e_value(0, c.counts.pairs())));
  c.second_test = c.test;
  c.second_p_value = c.p_value;
  c.test = "e-process of discordant pairs";
  c.p_value = std::min(1.0, std::exp(-log_e_value(c.counts.first_only, c.counts.second_only)));
  return true;
}

void conclude(std::vector<OutcomeComparison>& comparisons, const std::vector<Contrast>& contrasts,
              const std::vector<bool>& refused) {
  std::map<std::string, Members> primaries;
  std::map<std::size_t, Members> secondaries;
  for (OutcomeComparison& c : comparisons) {
    if (refused[c.contrast]) {
      refuse(c);
      continue;
    }
    if (!c.p_value) continue;
    if (c.role == Role::primary)
      primaries[contrasts[c.contrast].agent].push_back(&c);
    else
      secondaries[c.contrast].push_back(&c);
  }
  for (const auto& [agent, members] : primaries) {
    adjust(members, holm, "Holm");
    for (OutcomeComparison* c : members) c->contrasts = members.size();
  }
  for (const auto& [contrast, members] : secondaries)
    adjust(members, benjamini_hochberg, "Benjamini-Hochberg");
  for (OutcomeComparison& c : comparisons)
    if (!refused[c.contrast]) decide(c);
}

}  // namespace gyges::analysis
