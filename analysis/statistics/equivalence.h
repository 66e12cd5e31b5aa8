// Two one-sided tests: is the difference of two rates smaller than a margin?
//
// D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for
// assessing the equivalence of average bioavailability", Journal of Pharmacokinetics and
// Biopharmaceutics 15 (1987) 657-680.
#pragma once

#include <optional>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

struct Equivalence {
  double p_lower = 1;  // against "second minus first is -margin or less"
  double p_upper = 1;  // against "second minus first is margin or more"

  // Of the two tests together: the larger.
  [[nodiscard]] double p_value() const { return p_lower > p_upper ? p_lower : p_upper; }
};

// Independent arms, by the score test of O. Miettinen and M. Nurminen, "Comparative analysis of two
// rates", Statistics in Medicine 4 (1985) 213-226. margin in (0, 1). None when an arm is empty.
std::optional<Equivalence> tost_independent(Proportion first, Proportion second, double margin);

// Pairs, by Tango's score test (paired_difference.h). None without pairs.
std::optional<Equivalence> tost_paired(const PairedCounts& counts, double margin);

// The smallest margin at which the two tests conclude equivalence at level `alpha`: what "no gap
// was seen" is worth. Up to 1, which says nothing. None as for the tests.
std::optional<double> equivalence_bound_independent(Proportion first, Proportion second,
                                                    double alpha = 0.05);
std::optional<double> equivalence_bound_paired(const PairedCounts& counts, double alpha = 0.05);

// The statistic of Miettinen and Nurminen for "second minus first is delta"; standard normal under
// that hypothesis. delta in (-1, 1), no empty arm.
double miettinen_nurminen_statistic(Proportion first, Proportion second, double delta);

}  // namespace gyges::analysis
