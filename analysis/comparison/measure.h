// One count or duration set against itself in the two arms of a contrast.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/comparison/contrast.h"

namespace gyges::analysis {

using MeasureColumn = std::vector<std::optional<double>>;

struct MeasureArm {
  std::uint64_t runs = 0;
  std::optional<double> mean;
  std::optional<double> median;
};

struct MeasureComparison {
  std::size_t contrast = 0;
  std::string measure;
  std::string title;
  std::string unit;
  std::array<MeasureArm, 2> arms;
  // Of the means, second minus first: over pairs where paired, the mean over families where
  // unpaired families are the sample.
  std::optional<double> difference;
  // From six families on a sign-flip over their means; below, over pairs, and of unpaired runs a
  // permutation within families.
  std::optional<double> p_value;
  std::optional<double> adjusted_p;  // Benjamini-Hochberg over the measures of the contrast
  std::string test;                  // or why there is none
};

MeasureComparison compare_measure(const std::vector<Run>& runs, const Contrast& contrast,
                                  const MeasureColumn& column);

// Adjusts within each contrast.
void adjust_measures(std::vector<MeasureComparison>& measures);

}  // namespace gyges::analysis
