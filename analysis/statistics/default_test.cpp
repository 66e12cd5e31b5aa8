#include "analysis/statistics/default_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/statistics/boschloo.h"
#include "analysis/statistics/equivalence.h"
#include "analysis/statistics/family_means.h"
#include "analysis/statistics/fisher.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/paired_difference.h"
#include "analysis/statistics/permutation.h"
#include "analysis/statistics/power.h"
#include "analysis/statistics/rate_difference.h"
#include "analysis/statistics/sign_flip.h"

namespace gyges::analysis {
namespace {

// The interval over families, and where it is narrower the one without clustering: families that
// happen to agree (all zero, say) would otherwise give an interval without width.
Interval widened(const FamilyMean& mean, std::optional<Interval> unclustered) {
  Interval interval = mean.interval;
  if (unclustered) {
    interval.low = std::min(interval.low, unclustered->low);
    interval.high = std::max(interval.high, unclustered->high);
  }
  return {std::max(-1.0, std::min(interval.low, mean.mean)),
          std::min(1.0, std::max(interval.high, mean.mean))};
}

double bound_of(const Interval& ninety) {
  return std::max(std::fabs(ninety.low), std::fabs(ninety.high));
}

void over_families(const std::vector<double>& gaps, std::optional<Interval> pooled95,
                   std::optional<Interval> pooled90, DefaultAnalysis& analysis) {
  SignFlip test = *sign_flip_test(gaps);
  FamilyMean mean = *family_mean(gaps);
  analysis.scope = Scope::families;
  analysis.families = gaps.size();
  analysis.why = fmt::format(
      "runs of a family resemble each other, so the {} families are the sample and not their runs",
      gaps.size());
  analysis.test = "mid-p sign-flip over families";
  analysis.p_value = test.mid_p_value;
  analysis.second_test = "exact sign-flip over families";
  analysis.second_p_value = test.p_value;
  analysis.least_p_value =
      std::ldexp(1.0, -static_cast<int>(std::min<std::size_t>(gaps.size(), 60)));
  analysis.gap = mean.mean;
  analysis.interval_method = "t over families, not narrower than without clustering";
  analysis.interval = widened(mean, pooled95);
  analysis.equivalence_bound = bound_of(widened(*family_mean(gaps, 0.90), pooled90));
  analysis.standard_error = mean.standard_error;
}

std::string few_families(std::size_t families, bool paired) {
  // As simulated (docs/statistics.md): 5 tasks a family, 30 %, 0.8 logits.
  std::string worth = fmt::format(
      "where families differ as much as they often do, {} % of such studies report a gap that "
      "families like these do not have on average with 20 {} of each family, and 40 to 45 % with "
      "100: more families help, more runs do not",
      !paired && families > 1 ? "12 to 14" : "13 to 16", paired ? "pairs" : "runs an arm");
  if (families == 1) return "one family of tasks: the claim is about these tasks; " + worth;
  return fmt::format(
             "{} families are fewer than the {} that a test over families needs: the claim is "
             "about these tasks; ",
             families, families_for_family_test) +
         worth;
}

// Cochran's weights: the more evenly a family's runs are split, the more it says.
double weight_of(const FamilyArms& family) {
  double n1 = static_cast<double>(family.first.trials);
  double n2 = static_cast<double>(family.second.trials);
  return n1 * n2 / (n1 + n2);
}

double gap_of(const FamilyArms& family) {
  return *family.second.rate() - *family.first.rate();
}

// X. Yan, X. G. Su, "Stratified Wilson and Newcombe confidence intervals for multiple binomial
// proportions", Statistics in Biopharmaceutical Research 2 (2010) 329-335, in the form that
// combines the strata's Newcombe limits by squares.
Interval stratified_newcombe(const std::vector<FamilyArms>& families, double confidence) {
  double total = 0;
  for (const FamilyArms& family : families) total += weight_of(family);
  double gap = 0;
  double down = 0;
  double up = 0;
  for (const FamilyArms& family : families) {
    double share = weight_of(family) / total;
    Interval interval = *newcombe_interval(family.first, family.second, confidence);
    gap += share * gap_of(family);
    down = std::hypot(down, share * (gap_of(family) - interval.low));
    up = std::hypot(up, share * (interval.high - gap_of(family)));
  }
  return {std::max(-1.0, gap - down), std::min(1.0, gap + up)};
}

void one_family(const FamilyArms& arms, DefaultAnalysis& analysis) {
  analysis.test = "Boschloo";
  analysis.second_test = "Fisher exact";
  analysis.second_p_value = fisher_exact(arms.first, arms.second);
  std::optional<double> p_value = boschloo_exact(arms.first, arms.second);
  if (!p_value) analysis.test = "Fisher exact";  // too many runs for the search
  analysis.p_value = p_value.value_or(*analysis.second_p_value);
  Proportion none{0, arms.first.trials};
  Proportion all{arms.second.trials, arms.second.trials};
  analysis.least_p_value = p_value ? *boschloo_exact(none, all) : 0;
  analysis.gap = gap_of(arms);
  analysis.interval_method = "Newcombe, independent arms";
  analysis.interval = *newcombe_interval(arms.first, arms.second);
  analysis.equivalence_bound = *equivalence_bound_independent(arms.first, arms.second);
}

void within_families(const std::vector<FamilyArms>& families, DefaultAnalysis& analysis) {
  std::vector<BlockCounts> blocks;
  double total = 0;
  double log_arrangements = 0;
  for (const FamilyArms& family : families) {
    blocks.push_back({family.first, family.second});
    total += weight_of(family);
    double n1 = static_cast<double>(family.first.trials);
    double n2 = static_cast<double>(family.second.trials);
    log_arrangements += std::lgamma(n1 + n2 + 1) - std::lgamma(n1 + 1) - std::lgamma(n2 + 1);
  }
  analysis.test = "permutation within families";
  analysis.p_value = permutation_of_counts(blocks);
  analysis.least_p_value = std::min(1.0, 2 * std::exp(-log_arrangements));
  analysis.gap = 0;
  for (const FamilyArms& family : families)
    analysis.gap += weight_of(family) / total * gap_of(family);
  analysis.interval_method = "Newcombe, stratified by family";
  analysis.interval = stratified_newcombe(families, 0.95);
  analysis.equivalence_bound = bound_of(stratified_newcombe(families, 0.90));
}

}  // namespace

const char* scope_name(Scope scope) {
  return scope == Scope::families ? "families" : "these tasks";
}

std::optional<DefaultAnalysis> analyse_pairs(const std::vector<PairedCounts>& families) {
  PairedCounts pooled;
  std::vector<double> gaps;
  for (const PairedCounts& family : families) {
    if (family.pairs() == 0) continue;
    pooled.both += family.both;
    pooled.first_only += family.first_only;
    pooled.second_only += family.second_only;
    pooled.neither += family.neither;
    gaps.push_back(*family.second().rate() - *family.first().rate());
  }
  if (gaps.empty()) return std::nullopt;
  DefaultAnalysis analysis;
  analysis.families = gaps.size();
  if (gaps.size() >= families_for_family_test) {
    over_families(gaps, tango_interval(pooled), tango_interval(pooled, 0.90), analysis);
    return analysis;
  }
  analysis.why = "runs are paired by task and seed; " + few_families(gaps.size(), true);
  analysis.test = "mid-p McNemar";
  analysis.p_value = mcnemar_mid_p(pooled.first_only, pooled.second_only);
  analysis.least_p_value = mcnemar_mid_p(0, pooled.pairs());
  analysis.second_test = "exact McNemar";
  analysis.second_p_value = mcnemar_exact(pooled.first_only, pooled.second_only);
  analysis.gap = *pooled.second().rate() - *pooled.first().rate();
  analysis.interval_method = "Tango score, pairs";
  analysis.interval = *tango_interval(pooled);
  analysis.equivalence_bound = *equivalence_bound_paired(pooled);
  return analysis;
}

std::optional<DefaultAnalysis> analyse_arms(const std::vector<FamilyArms>& families) {
  std::vector<FamilyArms> both;
  std::vector<double> gaps;
  for (const FamilyArms& family : families) {
    if (family.first.trials == 0 || family.second.trials == 0) continue;
    both.push_back(family);
    gaps.push_back(gap_of(family));
  }
  if (both.empty()) return std::nullopt;
  DefaultAnalysis analysis;
  analysis.families = both.size();
  if (both.size() >= families_for_family_test) {
    over_families(gaps, stratified_newcombe(both, 0.95), stratified_newcombe(both, 0.90), analysis);
    return analysis;
  }
  analysis.why = "runs have no partners; " + few_families(both.size(), false);
  if (both.size() == 1)
    one_family(both.front(), analysis);
  else
    within_families(both, analysis);
  return analysis;
}

std::optional<double> detectable_rise(const DefaultAnalysis& analysis, bool paired, double base,
                                      std::uint64_t size) {
  std::optional<double> rise =
      paired ? detectable_rise_paired(base, size) : detectable_rise(base, size);
  if (!rise || analysis.scope != Scope::families) return rise;
  double degrees = static_cast<double>(analysis.families - 1);
  double clustered = (student_quantile(0.975, degrees) + student_quantile(0.8, degrees)) *
                     analysis.standard_error.value_or(0);
  double larger = std::max(*rise, clustered);
  if (larger > 1 - base) return std::nullopt;
  return larger;
}

}  // namespace gyges::analysis
