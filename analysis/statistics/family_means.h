// The mean over task families and how sure it is, when families are the sample: runs of one family
// resemble each other, so the families and not the runs count as observations.
//
// "Student", "The probable error of a mean", Biometrika 6 (1908) 1-25, on one figure per family; as
// cluster-level analysis: M. J. Campbell, A. Donner, N. Klar, Statistics in Medicine 26 (2007)
// 2-19. With F families of equal size it is Inspect's clustered standard error with its
// finite-cluster correction and t interval with F - 1 degrees of freedom.
#pragma once

#include <optional>
#include <vector>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

struct FamilyMean {
  double mean = 0;
  double standard_error = 0;  // 0 when all families agree
  double degrees = 1;         // of freedom: families minus one
  Interval interval;          // not clamped to any range

  // Two-sided, against "the mean is zero"; 1 when it is zero, 0 when all agree on another value.
  double p_value = 1;
};

// None with fewer than two families. confidence in (0, 1).
std::optional<FamilyMean> family_mean(const std::vector<double>& values, double confidence = 0.95);

// P(T <= t) and quantile of Student's distribution; degrees > 0, probability in (0, 1).
double student_cdf(double t, double degrees);
double student_quantile(double probability, double degrees);

}  // namespace gyges::analysis
