// The test, the interval and the bound that fit a design, chosen in one place and with the reason.
// Comparison, planning and calibration all come here; nothing else pools runs over families.
//
//   families  pairs                          independent arms
//   one       mid-p McNemar, Tango           Boschloo (Fisher above its limit), Newcombe
//   2 to 5    mid-p McNemar, Tango           permutation within families, stratified Newcombe
//   6 or more mid-p sign-flip over family means, t interval over families: the claim then reaches
//             beyond the tasks at hand
//
// Below six families a test over families says next to nothing: its least mid-p-value is
// 2^-families, and all families must agree for it. So the claim is about these tasks alone: `scope`
// and `why` say so, and what the pooled test is worth beyond them. Where families differ, it
// reports gaps that are not there in one study of seven (docs/statistics.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

inline constexpr std::size_t families_for_family_test = 6;

enum class Scope : std::uint8_t {
  these_tasks,  // a claim about the tasks that were run
  families,     // about families like those that were run
};
const char* scope_name(Scope scope);

// Both arms of one family, independent.
struct FamilyArms {
  Proportion first;
  Proportion second;
};

struct DefaultAnalysis {
  Scope scope = Scope::these_tasks;
  std::string why;  // what of the design decided, and what the test is worth below six families
  std::string test;
  double p_value = 1;        // two-sided
  double least_p_value = 0;  // that this design could have given
  std::string second_test;   // a cross-check; never decides
  std::optional<double> second_p_value;
  double gap = 0;  // second minus first; the mean over families where they are the sample
  std::string interval_method;
  Interval interval;             // 95 %, for the gap
  double equivalence_bound = 1;  // smallest margin within which two one-sided tests at 0.05 put it
  std::size_t families = 1;      // that the analysis rests on
  std::optional<double> standard_error;  // over families
};

// One entry for each family; those without pairs are ignored. None without any pair.
std::optional<DefaultAnalysis> analyse_pairs(const std::vector<PairedCounts>& families);

// One entry for each family; families with one arm alone are ignored where there are several. None
// when an arm is empty.
std::optional<DefaultAnalysis> analyse_arms(const std::vector<FamilyArms>& families);

// The smallest rise over `base` that the design finds with power 0.8 at level 0.05: from the
// standard error over families where they are the sample, but never less than as many pairs or runs
// without clustering. size: pairs, or runs of the smaller arm. None when not even a rise to 1 is.
std::optional<double> detectable_rise(const DefaultAnalysis& analysis, bool paired, double base,
                                      std::uint64_t size);

}  // namespace gyges::analysis
