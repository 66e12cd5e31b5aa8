#include "analysis/comparison/measure.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "analysis/statistics/multiplicity.h"
#include "analysis/statistics/sign_flip.h"

namespace gyges::analysis {
namespace {

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

MeasureArm arm_of(std::vector<double> values) {
  MeasureArm arm;
  arm.runs = values.size();
  if (values.empty()) return arm;
  arm.mean = mean_of(values);
  std::sort(values.begin(), values.end());
  std::size_t middle = values.size() / 2;
  arm.median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return arm;
}

std::vector<double> decided(const std::vector<std::size_t>& members, const MeasureColumn& column) {
  std::vector<double> values;
  for (std::size_t index : members)
    if (column[index]) values.push_back(*column[index]);
  return values;
}

void compare_pairs(const std::vector<Run>& runs, const Contrast& contrast,
                   const MeasureColumn& column, MeasureComparison& result) {
  std::vector<double> first;
  std::vector<double> second;
  std::vector<double> differences;
  std::map<std::string, std::vector<double>> families;
  for (const RunPair& pair : contrast.pairs) {
    if (!column[pair.first] || !column[pair.second]) continue;
    first.push_back(*column[pair.first]);
    second.push_back(*column[pair.second]);
    differences.push_back(second.back() - first.back());
    families[runs[pair.first].family].push_back(differences.back());
  }
  result.arms = {arm_of(first), arm_of(second)};
  if (differences.empty()) {
    result.test = "none: no pair has both values";
    return;
  }
  result.difference = mean_of(differences);
  std::vector<double> units = differences;
  result.test = "sign-flip over pairs";
  if (families.size() > 1) {
    units.clear();
    for (const auto& [family, values] : families) units.push_back(mean_of(values));
    result.test = "sign-flip over families";
  }
  if (std::optional<SignFlip> test = sign_flip_test(units))
    result.p_value = test->p_value;
  else
    result.test = "none: one pair";
}

}  // namespace

MeasureComparison compare_measure(const std::vector<Run>& runs, const Contrast& contrast,
                                  const MeasureColumn& column) {
  MeasureComparison result;
  if (contrast.paired) {
    compare_pairs(runs, contrast, column, result);
    return result;
  }
  result.arms = {arm_of(decided(contrast.first_runs, column)),
                 arm_of(decided(contrast.second_runs, column))};
  if (result.arms[0].mean && result.arms[1].mean)
    result.difference = *result.arms[1].mean - *result.arms[0].mean;
  result.test = "none: the runs are not paired";
  return result;
}

void adjust_measures(std::vector<MeasureComparison>& measures) {
  std::map<std::size_t, std::vector<MeasureComparison*>> groups;
  for (MeasureComparison& measure : measures)
    if (measure.p_value) groups[measure.contrast].push_back(&measure);
  for (auto& [contrast, members] : groups) {
    std::vector<double> p_values;
    for (const MeasureComparison* member : members) p_values.push_back(*member->p_value);
    std::vector<double> adjusted = benjamini_hochberg(p_values);
    for (std::size_t i = 0; i < members.size(); ++i) members[i]->adjusted_p = adjusted[i];
  }
}

}  // namespace gyges::analysis
