// Logistic regression with a random intercept for each family: effects for a run of a given family,
// where logistic.h has effects averaged over families.
//
// Likelihood by adaptive Gauss-Hermite quadrature: J. C. Pinheiro, D. M. Bates, Journal of
// Computational and Graphical Statistics 4 (1995) 12-35; one node is the Laplace approximation.
// Maximised by damped Newton steps. Standard errors from the observed information; with a handful
// of families they are too small.
#pragma once

#include <vector>

#include "analysis/statistics/logistic.h"
#include "base/error.h"

namespace gyges::analysis {

struct MixedLogisticFit {
  std::vector<double> coefficients;     // of each term, in logits
  std::vector<double> standard_errors;  // of each term
  double intercept_deviation = 0;       // standard deviation over families in logits; 0: none found
  double log_likelihood = 0;
};

// nodes: odd, 1..51. Fails as fit_logistic does, and when the maximum is not found.
Result<MixedLogisticFit> fit_mixed_logistic(const LogisticData& data, int nodes = 25);

}  // namespace gyges::analysis
