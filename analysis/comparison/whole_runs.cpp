#include "analysis/comparison/whole_runs.h"

#include <cmath>
#include <map>

namespace gyges::analysis {
namespace {

constexpr std::size_t most_runs = 1000;  // the classifier's factorisation grows with the cube

class Rows {
 public:
  void add(const Findings& findings, bool second, std::size_t block) {
    matrix.features = findings.features.size() + findings.shape.size();
    for (const auto& feature : findings.features)
      matrix.values.push_back(std::log1p(std::max(0.0, feature.value.value_or(0))));
    matrix.values.insert(matrix.values.end(), findings.shape.begin(), findings.shape.end());
    labels.second.push_back(second);
    labels.block.push_back(block);
  }

  FeatureMatrix matrix;
  BlockedLabels labels;
};

}  // namespace

WholeRunComparison compare_whole_runs(const std::vector<Run>& runs,
                                      const std::vector<Findings>& findings,
                                      const Contrast& contrast) {
  WholeRunComparison result;
  Rows rows;
  result.blocks = contrast.paired ? "pairs" : "scenarios";
  if (contrast.paired) {
    for (std::size_t i = 0; i < contrast.pairs.size(); ++i) {
      rows.add(findings[contrast.pairs[i].first], false, i);
      rows.add(findings[contrast.pairs[i].second], true, i);
    }
  } else {
    std::map<std::string, std::size_t> scenarios;
    auto block = [&](std::size_t run) {
      return scenarios.emplace(runs[run].scenario, scenarios.size()).first->second;
    };
    for (std::size_t run : contrast.first_runs) rows.add(findings[run], false, block(run));
    for (std::size_t run : contrast.second_runs) rows.add(findings[run], true, block(run));
  }
  result.runs = rows.labels.size();
  if (result.runs > most_runs) {
    result.problem = "more than 1000 runs";
    return result;
  }
  if (result.runs < 8) {
    result.problem = "fewer than eight runs";
    return result;
  }
  FeatureMatrix matrix = standardised(std::move(rows.matrix));
  std::uint64_t permutations = result.runs > 400 ? 199 : 999;
  result.energy = energy_test(matrix, rows.labels, permutations);
  result.mmd = mmd_test(matrix, rows.labels, permutations);
  result.classifier = classifier_test(matrix, rows.labels, permutations);
  return result;
}

}  // namespace gyges::analysis
