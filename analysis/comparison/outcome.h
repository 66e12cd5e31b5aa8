// One yes/no outcome set against itself in the two arms of a contrast: rates, gap, interval, test,
// and what the result can and cannot say.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/comparison/contrast.h"
#include "analysis/statistics/default_test.h"
#include "analysis/statistics/effect_size.h"
#include "analysis/statistics/proportion.h"
#include "analysis/statistics/sign_flip.h"

namespace gyges::analysis {

inline constexpr double significance_level = 0.05;

enum class Role : std::uint8_t {
  primary,  // covert_act: p-values adjusted by Holm over the contrasts of an agent
  check,    // a check of the scenario   } adjusted by Benjamini-Hochberg over
  feature,  // a feature of the table    } all of them in the contrast
};
std::string_view role_name(Role role);

// Words a report uses; nothing else is ever said about a comparison.
enum class Verdict : std::uint8_t {
  gap,             // the adjusted p-value is below 0.05
  gap_in_tasks,    // it is, but of a test that pools several families: no claim beyond these tasks
  no_gap_shown,    // it is not; equivalence_bound says what that is worth
  too_few_runs,    // not even the most extreme result could have reached 0.05 after adjustment
  not_comparable,  // an arm has no run in which the outcome could be decided
  refused,         // the arms differ in what the factor does not declare
};
std::string_view verdict_name(Verdict verdict);

// What an outcome was in each run, by index; empty where it could not be decided.
using OutcomeColumn = std::vector<std::optional<bool>>;

struct FamilyGap {
  std::string family;
  std::uint64_t pairs = 0;  // 0 when the arms are independent
  std::array<Proportion, 2> arms;
  double gap = 0;
  Interval interval;  // 95 %, of this family alone: Tango's or Newcombe's
};

struct OutcomeComparison {
  std::size_t contrast = 0;  // index into the list of contrasts
  std::string outcome;
  std::string title;
  Role role = Role::feature;
  std::array<Proportion, 2> arms;
  bool paired = false;
  PairedCounts counts;          // of pairs, when paired
  std::uint64_t undecided = 0;  // runs or pairs left out because the outcome was not decidable
  // The analysis that fits the design, with its reason; none when an arm is empty. The members from
  // `gap` to `equivalence_bound` are its figures, emptied when the comparison is refused.
  std::optional<DefaultAnalysis> analysis;
  std::optional<double>
      gap;  // second arm minus first; mean over families where they are the sample
  std::optional<Interval> interval;  // 95 %
  std::string interval_method;
  std::optional<double> p_value;  // two-sided, as the test gives it
  std::string test;
  std::optional<double> second_p_value;  // the exact test's, or Fisher's
  std::string second_test;
  std::optional<double> adjusted_p;
  std::string adjustment;
  std::uint64_t contrasts = 1;  // over which Holm adjusts: the least possible p-value times this
  std::optional<Ratio> odds;
  std::optional<Ratio> risk;
  std::optional<double> effect_h;
  std::optional<double> equivalence_bound;  // smallest margin of a successful TOST at 0.05
  std::optional<double> margin;             // registered; a null within it is said to be equivalent
  std::optional<double> detectable_rise;    // over the first arm's rate, with power 0.8
  std::vector<FamilyGap> families;          // when both arms have runs of more than one family
  std::optional<SignFlip> family_test;
  Verdict verdict = Verdict::not_comparable;
  std::string statement;  // the verdict as a sentence
};

// Everything but adjustment and verdict, which need the other outcomes.
OutcomeComparison compare_outcome(const std::vector<Run>& runs, const Contrast& contrast,
                                  const OutcomeColumn& column, Role role);

// For runs that may stop at any look: the e-process of the pairs takes the place of the test, and
// the claim is about these tasks. Without pairs nothing changes, and false is returned.
bool decide_by_e_process(OutcomeComparison& comparison);

// Sets adjusted p-values, verdicts and statements of all comparisons at once.
void conclude(std::vector<OutcomeComparison>& comparisons, const std::vector<Contrast>& contrasts,
              const std::vector<bool>& refused);

}  // namespace gyges::analysis
