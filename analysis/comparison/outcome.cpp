#include "analysis/comparison/outcome.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "analysis/statistics/boschloo.h"
#include "analysis/statistics/equivalence.h"
#include "analysis/statistics/fisher.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/multiplicity.h"
#include "analysis/statistics/paired_difference.h"
#include "analysis/statistics/power.h"
#include "analysis/statistics/rate_difference.h"

namespace gyges::analysis {
namespace {

void count_pair(bool first, bool second, PairedCounts& counts) {
  if (first && second) ++counts.both;
  if (first && !second) ++counts.first_only;
  if (!first && second) ++counts.second_only;
  if (!first && !second) ++counts.neither;
}

// A test over families answers whether the gap holds beyond the tasks at hand; with one family the
// question cannot be asked.
void compare_families(const std::map<std::string, PairedCounts>& families,
                      OutcomeComparison& result) {
  if (families.size() < 2) return;
  std::vector<double> gaps;
  for (const auto& [family, counts] : families) {
    double gap = *counts.second().rate() - *counts.first().rate();
    result.families.push_back({family, counts.pairs(), gap});
    gaps.push_back(gap);
  }
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
  const PairedCounts& counts = result.counts;
  result.arms = {counts.first(), counts.second()};
  result.test = "exact McNemar";
  result.second_test = "mid-p McNemar";
  result.interval_method = "Tango score, pairs";
  if (counts.pairs() == 0) return;
  result.p_value = mcnemar_exact(counts.first_only, counts.second_only);
  result.second_p_value = mcnemar_mid_p(counts.first_only, counts.second_only);
  result.interval = tango_interval(counts);
  result.equivalence_bound = equivalence_bound_paired(counts);
  compare_families(families, result);
}

Proportion count_arm(const std::vector<std::size_t>& members, const OutcomeColumn& column,
                     std::uint64_t& undecided) {
  Proportion arm;
  for (std::size_t index : members) {
    if (!column[index]) {
      ++undecided;
      continue;
    }
    ++arm.trials;
    arm.successes += *column[index] ? 1 : 0;
  }
  return arm;
}

void compare_arms(const Contrast& contrast, const OutcomeColumn& column,
                  OutcomeComparison& result) {
  result.arms = {count_arm(contrast.first_runs, column, result.undecided),
                 count_arm(contrast.second_runs, column, result.undecided)};
  const auto& [first, second] = result.arms;
  result.test = "Boschloo";
  result.second_test = "Fisher exact";
  result.interval_method = "Newcombe, independent arms";
  if (first.trials == 0 || second.trials == 0) return;
  result.second_p_value = fisher_exact(first, second);
  result.p_value = boschloo_exact(first, second);
  if (!result.p_value) {  // too many runs for the search
    result.test = "Fisher exact";
    result.p_value = result.second_p_value;
  }
  result.interval = newcombe_interval(first, second);
  result.equivalence_bound = equivalence_bound_independent(first, second);
}

// The smallest adjusted p-value that so many runs can give. Holm multiplies the smallest p-value by
// the number of contrasts; Benjamini-Hochberg leaves it when all are as small.
double smallest_p_value(const OutcomeComparison& c) {
  double contrasts = static_cast<double>(c.contrasts);
  if (c.paired) return contrasts * mcnemar_exact(0, c.counts.pairs());
  Proportion none{0, c.arms[0].trials};
  Proportion all{c.arms[1].trials, c.arms[1].trials};
  return contrasts * boschloo_exact(none, all).value_or(0);
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
  std::uint64_t size = c.paired ? c.counts.pairs() : std::min(c.arms[0].trials, c.arms[1].trials);
  std::string runs = fmt::format("{} {}", size, c.paired ? "pairs" : "runs an arm");
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
        "too few runs: {} cannot give a p-value below 0.05{} whatever they show",
        c.paired ? fmt::format("{} pairs", c.counts.pairs())
                 : fmt::format("{} against {} runs", c.arms[0].trials, c.arms[1].trials),
        c.contrasts > 1 ? fmt::format(" after adjustment over {} contrasts", c.contrasts) : "");
    return;
  }
  if (c.adjusted_p.value_or(*c.p_value) < significance_level) {
    c.verdict = Verdict::gap;
    c.statement = fmt::format("gap of {:+.1f} points", 100 * *c.gap);
    if (c.interval)
      c.statement +=
          fmt::format(" [{:+.1f}, {:+.1f}]", 100 * c.interval->low, 100 * c.interval->high);
    if (c.family_test && c.family_test->p_value >= significance_level)
      c.statement += fmt::format(
          "; it holds for these tasks, not yet across families ({} families, "
          "p = {:.2g})",
          c.families.size(), c.family_test->p_value);
    return;
  }
  c.verdict = Verdict::no_gap_shown;
  if (c.role != Role::feature) {
    std::uint64_t size = c.paired ? c.counts.pairs() : std::min(c.arms[0].trials, c.arms[1].trials);
    c.detectable_rise = c.paired ? detectable_rise_paired(*c.arms[0].rate(), size)
                                 : detectable_rise(*c.arms[0].rate(), size);
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
  constexpr std::string_view names[] = {"gap", "no gap shown", "too few runs", "not comparable",
                                        "refused"};
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
    compare_arms(contrast, column, result);
  const auto& [first, second] = result.arms;
  if (first.trials == 0 || second.trials == 0) return result;
  result.gap = *second.rate() - *first.rate();
  result.odds = odds_ratio(first, second);
  result.risk = risk_ratio(first, second);
  result.effect_h = cohens_h(first, second);
  return result;
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
