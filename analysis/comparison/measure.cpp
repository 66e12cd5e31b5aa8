#include "analysis/comparison/measure.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "analysis/statistics/default_test.h"
#include "analysis/statistics/multiplicity.h"
#include "analysis/statistics/permutation.h"
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

using FamilyValues = std::map<std::string, std::array<std::vector<double>, 2>>;

// As the tests of yes/no outcomes are chosen (default_test.h): from six families on they are the
// sample; below, the claim is about these tasks.
void test_families(const std::vector<double>& differences, MeasureComparison& result) {
  result.test = "mid-p sign-flip over families";
  result.p_value = sign_flip_test(differences)->mid_p_value;
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
  if (families.size() >= families_for_family_test) {
    std::vector<double> means;
    for (const auto& [family, values] : families) means.push_back(mean_of(values));
    test_families(means, result);
    return;
  }
  result.test = "sign-flip over pairs";
  if (std::optional<SignFlip> test = sign_flip_test(differences))
    result.p_value = test->p_value;
  else
    result.test = "none: one pair";
}

// Families that one arm alone has say nothing of the difference.
void compare_arms(const std::vector<Run>& runs, const Contrast& contrast,
                  const MeasureColumn& column, MeasureComparison& result) {
  FamilyValues families;
  auto take = [&](const std::vector<std::size_t>& members, std::size_t arm) {
    for (std::size_t index : members)
      if (column[index]) families[runs[index].family][arm].push_back(*column[index]);
  };
  take(contrast.first_runs, 0);
  take(contrast.second_runs, 1);
  result.arms = {arm_of(decided(contrast.first_runs, column)),
                 arm_of(decided(contrast.second_runs, column))};
  if (result.arms[0].mean && result.arms[1].mean)
    result.difference = *result.arms[1].mean - *result.arms[0].mean;
  std::erase_if(families, [](const auto& family) {
    return family.second[0].empty() || family.second[1].empty();
  });
  if (families.empty()) {
    result.test = "none: no family has the value in both arms";
    return;
  }
  if (families.size() >= families_for_family_test) {
    std::vector<double> differences;
    for (const auto& [family, arms] : families)
      differences.push_back(mean_of(arms[1]) - mean_of(arms[0]));
    result.difference = mean_of(differences);
    test_families(differences, result);
    return;
  }
  std::vector<double> values;
  BlockedLabels labels;
  std::size_t block = 0;
  for (const auto& [family, arms] : families) {
    for (std::size_t arm = 0; arm < 2; ++arm)
      for (double value : arms[arm]) {
        values.push_back(value);
        labels.second.push_back(arm == 1);
        labels.block.push_back(block);
      }
    ++block;
  }
  result.test = families.size() > 1 ? "permutation within families" : "permutation of runs";
  result.p_value = permutation_test(values, labels)->p_value;
}

}  // namespace

MeasureComparison compare_measure(const std::vector<Run>& runs, const Contrast& contrast,
                                  const MeasureColumn& column) {
  MeasureComparison result;
  if (contrast.paired)
    compare_pairs(runs, contrast, column, result);
  else
    compare_arms(runs, contrast, column, result);
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
