#include "analysis/statistics/mixed_logistic.h"

#include <algorithm>
#include <cmath>

#include "analysis/statistics/dense_matrix.h"

namespace gyges::analysis {
namespace {

using Vector = std::vector<double>;

double expit(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

double softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
}

struct Quadrature {
  Vector nodes;        // for the standard normal density
  Vector log_weights;  // weights sum to one
};

// Roots of the Hermite polynomial, by Newton's method from outside inwards with the roots that are
// known divided out; orthonormal recurrence (Abramowitz and Stegun 25.4.46). Fine up to 51 nodes.
Quadrature gauss_hermite(int count) {
  Quadrature rule;
  auto evaluate = [&](double x, double& below) {
    double previous = 0;
    double value = 1;
    for (int k = 0; k < count; ++k) {
      double next = (x * value - std::sqrt(static_cast<double>(k)) * previous) / std::sqrt(k + 1.0);
      previous = value;
      value = next;
    }
    below = previous;
    return value;
  };
  double start = 2 * std::sqrt(count + 1.0);
  for (int i = 0; i < count; ++i) {
    double x = i == 0 ? start : rule.nodes.back() - 1e-3;
    double below = 0;
    for (int round = 0; round < 500; ++round) {
      double value = evaluate(x, below);
      double slope = std::sqrt(static_cast<double>(count)) * below;
      double deflation = 0;
      for (double root : rule.nodes) deflation += 1 / (x - root);
      double step = value / (slope - value * deflation);
      x -= step;
      if (std::fabs(step) < 1e-14 * std::max(1.0, std::fabs(x))) break;
    }
    evaluate(x, below);
    rule.nodes.push_back(x);
    rule.log_weights.push_back(-std::log(count * below * below));
  }
  return rule;
}

struct Family {
  std::vector<Vector> rows;
  Vector outcome;
};

// The random intercept is deviation * u with u standard normal, so a deviation of zero is no
// corner.
class Likelihood {
 public:
  Likelihood(const LogisticData& data, int nodes)
      : rule_(gauss_hermite(nodes)), terms_(data.terms.size()), families_(data.clusters()) {
    for (std::size_t i = 0; i < data.values.size(); ++i) {
      Vector row;
      for (const std::vector<std::size_t>& term : data.terms) {
        double product = 1;
        for (std::size_t variable : term) product *= data.values[i][variable];
        row.push_back(product);
      }
      families_[data.cluster[i]].rows.push_back(std::move(row));
      families_[data.cluster[i]].outcome.push_back(data.outcome[i] ? 1 : 0);
    }
  }

  // Parameters: coefficients, then the deviation. Sets the gradient when asked.
  double value(const Vector& parameters, Vector* gradient = nullptr) const {
    double total = 0;
    if (gradient != nullptr) gradient->assign(terms_ + 1, 0);
    for (const Family& family : families_) total += of_family(family, parameters, gradient);
    return total;
  }

 private:
  double of_family(const Family& family, const Vector& parameters, Vector* gradient) const {
    double deviation = parameters[terms_];
    Vector fixed;
    for (const Vector& row : family.rows) {
      double sum = 0;
      for (std::size_t t = 0; t < terms_; ++t) sum += row[t] * parameters[t];
      fixed.push_back(sum);
    }
    // Mode and curvature of the integrand over u.
    double mode = 0;
    double curvature = 1;
    for (int i = 0; i < 100; ++i) {
      double slope = -mode;
      curvature = 1;
      for (std::size_t r = 0; r < fixed.size(); ++r) {
        double rate = expit(fixed[r] + deviation * mode);
        slope += deviation * (family.outcome[r] - rate);
        curvature += deviation * deviation * rate * (1 - rate);
      }
      double step = std::clamp(slope / curvature, -2.0, 2.0);
      mode += step;
      if (std::fabs(step) < 1e-12) break;
    }
    double spread = 1 / std::sqrt(curvature);
    Vector logs;
    std::vector<Vector> slopes;
    for (std::size_t q = 0; q < rule_.nodes.size(); ++q) {
      double node = rule_.nodes[q];
      double u = mode + spread * node;
      double log = rule_.log_weights[q] + std::log(spread) + (node * node - u * u) / 2;
      Vector slope(terms_ + 1);
      for (std::size_t r = 0; r < fixed.size(); ++r) {
        double eta = fixed[r] + deviation * u;
        log += family.outcome[r] * eta - softplus(eta);
        if (gradient == nullptr) continue;
        double residual = family.outcome[r] - expit(eta);
        for (std::size_t t = 0; t < terms_; ++t) slope[t] += residual * family.rows[r][t];
        slope[terms_] += residual * u;
      }
      logs.push_back(log);
      slopes.push_back(std::move(slope));
    }
    double highest = *std::max_element(logs.begin(), logs.end());
    double sum = 0;
    for (double log : logs) sum += std::exp(log - highest);
    if (gradient != nullptr)
      for (std::size_t q = 0; q < logs.size(); ++q)
        for (std::size_t t = 0; t <= terms_; ++t)
          (*gradient)[t] += slopes[q][t] * std::exp(logs[q] - highest) / sum;
    return highest + std::log(sum);
  }

  Quadrature rule_;
  std::size_t terms_;
  std::vector<Family> families_;
};

Vector moved(const Vector& at, std::size_t index, double by) {
  Vector result = at;
  result[index] += by;
  return result;
}

// The gradient of value() holds the nodes still, which is exact in the limit of many nodes only;
// with few, differences of the value are used, so that Laplace's maximum is that of its value.
Vector gradient_of(const Likelihood& likelihood, const Vector& at, bool exact) {
  Vector gradient(at.size());
  if (exact) {
    likelihood.value(at, &gradient);
    return gradient;
  }
  for (std::size_t i = 0; i < at.size(); ++i) {
    double step = 1e-5 * std::max(1.0, std::fabs(at[i]));
    gradient[i] =
        (likelihood.value(moved(at, i, step)) - likelihood.value(moved(at, i, -step))) / (2 * step);
  }
  return gradient;
}

DenseMatrix information_at(const Likelihood& likelihood, const Vector& at, bool exact) {
  DenseMatrix information(at.size(), at.size());
  for (std::size_t i = 0; i < at.size(); ++i) {
    double step = (exact ? 1e-5 : 1e-3) * std::max(1.0, std::fabs(at[i]));
    Vector up = gradient_of(likelihood, moved(at, i, step), exact);
    Vector down = gradient_of(likelihood, moved(at, i, -step), exact);
    for (std::size_t j = 0; j < at.size(); ++j) {
      double slope = (down[j] - up[j]) / (2 * step);
      information(i, j) += slope / 2;
      information(j, i) += slope / 2;
    }
  }
  return information;
}

// One damped Newton step up; the length of its longest component.
double climb(const Likelihood& likelihood, Vector& at, double& value, bool exact) {
  Vector gradient = gradient_of(likelihood, at, exact);
  DenseMatrix information = information_at(likelihood, at, exact);
  // Away from the maximum the information may not be positive definite; a ridge makes the step a
  // climb.
  std::optional<Vector> step = solve_symmetric(information, gradient);
  for (double ridge = 1e-3; !step && ridge < 1e6; ridge *= 10) {
    DenseMatrix raised = information;
    for (std::size_t i = 0; i < at.size(); ++i) raised(i, i) += ridge;
    step = solve_symmetric(raised, gradient);
  }
  if (!step) return 1e9;
  double scale = 2;
  double reached = 0;
  double longest = 0;
  Vector next = at;
  do {
    scale /= 2;
    longest = 0;
    for (std::size_t i = 0; i < at.size(); ++i) {
      next[i] = at[i] + scale * (*step)[i];
      longest = std::max(longest, std::fabs(scale * (*step)[i]));
    }
    reached = likelihood.value(next);
  } while (!(reached >= value - 1e-10) && scale > 1e-6);
  at = next;
  value = reached;
  return longest;
}

}  // namespace

Result<MixedLogisticFit> fit_mixed_logistic(const LogisticData& data, int nodes) {
  GYGES_TRY(LogisticFit start, fit_logistic(data));
  Likelihood likelihood(data, nodes);
  bool exact = nodes >= 15;
  Vector at = start.coefficients;
  at.push_back(0.5);
  double value = likelihood.value(at);
  bool converged = false;
  for (int i = 0; i < 100 && !converged; ++i) {
    converged = climb(likelihood, at, value, exact) < (exact ? 1e-8 : 1e-5);
    if (*std::max_element(at.begin(), at.end()) > 50) break;
  }
  if (!converged)
    return fail("fit mixed logistic model", "likelihood", "its maximum was not found",
                "use the family tests");
  MixedLogisticFit fit;
  fit.log_likelihood = value;
  fit.intercept_deviation = std::fabs(at.back()) < 1e-3 ? 0 : std::fabs(at.back());
  DenseMatrix information = information_at(likelihood, at, exact);
  // At a deviation of zero its own row of the information may vanish and is left out.
  std::size_t kept = fit.intercept_deviation == 0 ? at.size() - 1 : at.size();
  DenseMatrix part(kept, kept);
  for (std::size_t i = 0; i < kept; ++i)
    for (std::size_t j = 0; j < kept; ++j) part(i, j) = information(i, j);
  std::optional<DenseMatrix> covariance = inverse_symmetric(part);
  if (!covariance)
    return fail("fit mixed logistic model", "likelihood", "it is flat at its maximum",
                "use the family tests");
  for (std::size_t i = 0; i + 1 < at.size(); ++i) {
    fit.coefficients.push_back(at[i]);
    fit.standard_errors.push_back(std::sqrt((*covariance)(i, i)));
  }
  return fit;
}

}  // namespace gyges::analysis
