// Logistic regression of a yes/no outcome on factors and their interactions, with a covariance that
// holds when runs of a family resemble each other, and effects on the scale people read: shares.
//
// Fit: iteratively reweighted least squares (P. J. Green, JRSS B 46 (1984) 149-192). Covariance:
// K.-Y. Liang, S. L. Zeger, Biometrika 73 (1986) 13-22, with the finite-sample factor
// G/(G-1) (n-1)/(n-k), as statsmodels' cov_type="cluster". Marginal effects by the delta method.
// Fewer than about ten clusters make the covariance too small: use the family tests there.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "analysis/statistics/proportion.h"
#include "base/error.h"

namespace gyges::analysis {

// One row for each run. Values are finite; a factor of two levels is one variable with 0 and 1, one
// of k levels k-1 of them.
struct LogisticData {
  std::vector<std::string> variables;
  std::vector<std::vector<double>> values;  // of each run, in the order of `variables`
  std::vector<bool> outcome;
  std::vector<std::size_t> cluster;  // numbered from 0 without gaps
  // Each term is a product of variables, by index; the empty product is the intercept.
  std::vector<std::vector<std::size_t>> terms;

  [[nodiscard]] std::size_t clusters() const;
  [[nodiscard]] std::string term_name(std::size_t term) const;  // "oversight:label", "(intercept)"
};

struct LogisticFit {
  std::vector<double> coefficients;  // of each term, in logits
  std::vector<double> covariance;    // cluster-robust, row by row
  double log_likelihood = 0;
  double degrees = 1;  // of freedom for t: clusters minus one

  [[nodiscard]] double standard_error(std::size_t term) const;
};

// Fails with fewer than two clusters, with no more runs than terms, with terms that repeat each
// other, and when a combination of terms predicts the outcome without error (no finite estimate
// exists; the exact tests do not need one).
Result<LogisticFit> fit_logistic(const LogisticData& data);

// A setting of some variables; the others stay as each run has them.
struct Setting {
  double weight = 1;
  std::vector<std::pair<std::size_t, double>> variables;  // index, value
};

struct MarginalEffect {
  double value = 0;  // in shares: 0.1 is ten points
  double standard_error = 0;
  Interval interval;   // t, 95 %
  double p_value = 1;  // two-sided, against zero
};

// The weighted sum of mean predicted rates over all runs, each run moved to each setting. Weights
// +1 and -1 give an average marginal effect; +1 -1 -1 +1 an interaction in points, or a difference
// in differences.
MarginalEffect marginal_effect(const LogisticData& data, const LogisticFit& fit,
                               const std::vector<Setting>& settings);

}  // namespace gyges::analysis
