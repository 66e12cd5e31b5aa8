// Randomisation test on differences that are symmetric around zero when the condition has no
// effect: R. A. Fisher, The Design of Experiments (1935), section 21.
//
// Given one mean difference per task family it respects that runs of a family resemble each other;
// a pooled test on clustered runs reports gaps that are not there in one case of five.
#pragma once

#include <optional>
#include <vector>

namespace gyges::analysis {

struct SignFlip {
  double mean = 0;     // of the differences
  double p_value = 1;  // two-sided, exact: at most the level, and far below it with few differences
  // Counts patterns that are as extreme as the observed one by half, as the mid-p McNemar test
  // does: the level is then met on average instead of never reached. 1 where no pattern is less
  // extreme.
  double mid_p_value = 1;
  // All sign patterns, up to 32 differences; false: drawn with a fixed seed, 100,000 of them up to
  // 1,000 differences, from 5,000 on 20,000.
  bool enumerated = true;
};

// None with fewer than two differences, where every sign pattern is as extreme as the observed one.
std::optional<SignFlip> sign_flip_test(const std::vector<double>& differences);

}  // namespace gyges::analysis
