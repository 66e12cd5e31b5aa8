// How large a difference between two rates is, on scales other than the difference itself.
#pragma once

#include <optional>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

struct Ratio {
  double value = 1;
  Interval interval;
  bool half_added = false;  // a cell was zero: 1/2 was added to every cell
};

// Odds of the second arm over odds of the first, with B. Woolf's logarithmic interval (Annals of
// Human Genetics 19, 1955, 251-253); with a zero cell, 1/2 is added to every cell (J. B. S.
// Haldane, Annals of Human Genetics 20, 1956, 309-311) and half_added says so. None when an arm is
// empty.
std::optional<Ratio> odds_ratio(Proportion first, Proportion second, double confidence = 0.95);

// Rate of the second arm over rate of the first, with the logarithmic interval of D. Katz et al.
// (Biometrics 34, 1978, 469-474); zero cells as in odds_ratio. None when an arm is empty.
std::optional<Ratio> risk_ratio(Proportion first, Proportion second, double confidence = 0.95);

// J. Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), chapter 6: difference of
// the arcsine-transformed rates, second minus first; 0.2 small, 0.5 medium, 0.8 large. None when an
// arm is empty.
std::optional<double> cohens_h(Proportion first, Proportion second);

}  // namespace gyges::analysis
