#include "analysis/statistics/logistic.h"

#include <algorithm>
#include <cmath>

#include "analysis/statistics/dense_matrix.h"
#include "analysis/statistics/family_means.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

constexpr int max_iterations = 60;
// Predicted odds of e^20 mean that the estimate is on its way to infinity.
constexpr double runaway = 20;

double expit(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

double dot(const double* a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < b.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<double> row_of(const LogisticData& data, const std::vector<double>& values) {
  std::vector<double> row;
  for (const std::vector<std::size_t>& term : data.terms) {
    double product = 1;
    for (std::size_t variable : term) product *= values[variable];
    row.push_back(product);
  }
  return row;
}

DenseMatrix design_of(const LogisticData& data) {
  DenseMatrix design(data.values.size(), data.terms.size());
  for (std::size_t i = 0; i < data.values.size(); ++i) {
    std::vector<double> row = row_of(data, data.values[i]);
    std::copy(row.begin(), row.end(), &design(i, 0));
  }
  return design;
}

double log_likelihood_of(const DenseMatrix& design, const std::vector<double>& beta,
                         const std::vector<bool>& outcome) {
  double total = 0;
  for (std::size_t i = 0; i < design.rows; ++i) {
    double eta = dot(&design.values[i * design.columns], beta);
    // log(1 + e^eta) without overflow.
    total += (outcome[i] ? eta : 0) - std::max(eta, 0.0) - std::log1p(std::exp(-std::fabs(eta)));
  }
  return total;
}

// Score and information at beta.
struct Derivatives {
  std::vector<double> score;
  DenseMatrix information;
  std::vector<double> residual;
  double largest_eta = 0;
};

Derivatives derivatives_at(const DenseMatrix& design, const std::vector<double>& beta,
                           const std::vector<bool>& outcome) {
  std::size_t k = design.columns;
  Derivatives at{std::vector<double>(k), DenseMatrix(k, k), {}, 0};
  for (std::size_t i = 0; i < design.rows; ++i) {
    const double* row = &design.values[i * k];
    double eta = dot(row, beta);
    double rate = expit(eta);
    double residual = (outcome[i] ? 1 : 0) - rate;
    at.residual.push_back(residual);
    at.largest_eta = std::max(at.largest_eta, std::fabs(eta));
    for (std::size_t a = 0; a < k; ++a) {
      at.score[a] += residual * row[a];
      for (std::size_t b = 0; b < k; ++b)
        at.information(a, b) += rate * (1 - rate) * row[a] * row[b];
    }
  }
  return at;
}

// Sum over clusters of the outer products of their scores, with the finite-sample factor.
DenseMatrix cluster_scores(const LogisticData& data, const DenseMatrix& design,
                           const std::vector<double>& residual) {
  DenseMatrix scores(design.columns, data.clusters());
  for (std::size_t i = 0; i < design.rows; ++i)
    for (std::size_t t = 0; t < design.columns; ++t)
      scores(t, data.cluster[i]) += residual[i] * design(i, t);
  DenseMatrix outer = gram(scores);
  double clusters = static_cast<double>(data.clusters());
  double n = static_cast<double>(design.rows);
  double factor = clusters / (clusters - 1) * (n - 1) / (n - static_cast<double>(design.columns));
  for (double& value : outer.values) value *= factor;
  return outer;
}

// Columns of length one whose products have a vanishing pivot repeat each other.
bool columns_repeat(const DenseMatrix& design) {
  DenseMatrix unit(design.columns, design.rows);
  for (std::size_t t = 0; t < design.columns; ++t) {
    double squares = 0;
    for (std::size_t i = 0; i < design.rows; ++i) squares += design(i, t) * design(i, t);
    if (squares == 0) return true;
    for (std::size_t i = 0; i < design.rows; ++i) unit(t, i) = design(i, t) / std::sqrt(squares);
  }
  return !inverse_symmetric(gram(unit), 1e-10);
}

Status check(const LogisticData& data, const DenseMatrix& design) {
  if (data.clusters() < 2)
    return fail("fit logistic model", "clusters", "there are fewer than two",
                "a covariance over clusters needs runs of several families");
  if (data.values.size() <= data.terms.size())
    return fail("fit logistic model", "runs", "no more runs than terms",
                "run more repeats or leave out interactions");
  if (columns_repeat(design))
    return fail("fit logistic model", "terms", "some repeat each other, or never occur",
                "leave out a factor or an interaction");
  return ok();
}

}  // namespace

std::size_t LogisticData::clusters() const {
  return cluster.empty() ? 0 : *std::max_element(cluster.begin(), cluster.end()) + 1;
}

std::string LogisticData::term_name(std::size_t term) const {
  if (terms[term].empty()) return "(intercept)";
  std::vector<std::string> names;
  for (std::size_t variable : terms[term]) names.push_back(variables[variable]);
  return join(names, ":");
}

double LogisticFit::standard_error(std::size_t term) const {
  return std::sqrt(covariance[term * coefficients.size() + term]);
}

Result<LogisticFit> fit_logistic(const LogisticData& data) {
  DenseMatrix design = design_of(data);
  GYGES_CHECK(check(data, design));
  std::vector<double> beta(design.columns);
  double likelihood = log_likelihood_of(design, beta, data.outcome);
  bool converged = false;
  for (int iteration = 0; iteration < max_iterations && !converged; ++iteration) {
    Derivatives at = derivatives_at(design, beta, data.outcome);
    std::optional<std::vector<double>> step = solve_symmetric(at.information, at.score);
    if (!step || at.largest_eta > runaway) break;
    // Newton's step may overshoot far from the maximum.
    std::vector<double> next = beta;
    double reached = 0;
    double scale = 2;
    double longest = 0;
    do {
      scale /= 2;
      longest = 0;
      for (std::size_t t = 0; t < beta.size(); ++t) {
        next[t] = beta[t] + scale * (*step)[t];
        longest = std::max(longest, std::fabs(scale * (*step)[t]));
      }
      reached = log_likelihood_of(design, next, data.outcome);
    } while (!(reached >= likelihood - 1e-12) && scale > 1e-6);
    beta = next;
    likelihood = reached;
    converged = longest < 1e-11;
  }
  Derivatives at = derivatives_at(design, beta, data.outcome);
  std::optional<DenseMatrix> inverse = inverse_symmetric(at.information);
  if (!converged || !inverse)
    return fail("fit logistic model", "outcome",
                "a combination of terms predicts it without error, so no finite estimate exists",
                "read the exact tests and the rates");
  DenseMatrix covariance =
      product(product(*inverse, cluster_scores(data, design, at.residual)), *inverse);
  LogisticFit fit;
  fit.coefficients = beta;
  fit.covariance = covariance.values;
  fit.log_likelihood = likelihood;
  fit.degrees = static_cast<double>(data.clusters() - 1);
  return fit;
}

MarginalEffect marginal_effect(const LogisticData& data, const LogisticFit& fit,
                               const std::vector<Setting>& settings) {
  std::size_t k = fit.coefficients.size();
  std::vector<double> gradient(k);
  MarginalEffect effect;
  double n = static_cast<double>(data.values.size());
  for (const Setting& setting : settings) {
    for (std::vector<double> values : data.values) {
      for (const auto& [variable, value] : setting.variables) values[variable] = value;
      std::vector<double> row = row_of(data, values);
      double rate = expit(dot(row.data(), fit.coefficients));
      effect.value += setting.weight * rate / n;
      for (std::size_t t = 0; t < k; ++t)
        gradient[t] += setting.weight * rate * (1 - rate) / n * row[t];
    }
  }
  double variance = 0;
  for (std::size_t a = 0; a < k; ++a)
    variance += gradient[a] * dot(&fit.covariance[a * k], gradient);
  effect.standard_error = std::sqrt(std::max(0.0, variance));
  double half = student_quantile(0.975, fit.degrees) * effect.standard_error;
  effect.interval = {effect.value - half, effect.value + half};
  if (effect.standard_error > 0)
    effect.p_value = 2 * student_cdf(-std::fabs(effect.value) / effect.standard_error, fit.degrees);
  return effect;
}

}  // namespace gyges::analysis
