#include "analysis/statistics/dense_matrix.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>

namespace gyges::analysis {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix>;
using ConstMap = Eigen::Map<const Matrix>;

ConstMap view(const DenseMatrix& matrix) {
  return {matrix.values.data(), static_cast<Eigen::Index>(matrix.rows),
          static_cast<Eigen::Index>(matrix.columns)};
}

Map view(DenseMatrix& matrix) {
  return {matrix.values.data(), static_cast<Eigen::Index>(matrix.rows),
          static_cast<Eigen::Index>(matrix.columns)};
}

}  // namespace

DenseMatrix product(const DenseMatrix& a, const DenseMatrix& b) {
  DenseMatrix result(a.rows, b.columns);
  view(result).noalias() = view(a) * view(b);
  return result;
}

DenseMatrix gram(const DenseMatrix& a) {
  DenseMatrix result(a.rows, a.rows);
  view(result).noalias() = view(a) * view(a).transpose();
  return result;
}

std::vector<double> product(const DenseMatrix& a, const std::vector<double>& x) {
  DenseMatrix column(x.size(), 1);
  column.values = x;
  return product(a, column).values;
}

std::optional<DenseMatrix> solve_symmetric(const DenseMatrix& a, const DenseMatrix& b,
                                           double tolerance) {
  if (a.rows == 0) return std::nullopt;
  Eigen::LLT<Matrix> factor(view(a));
  if (factor.info() != Eigen::Success) return std::nullopt;
  double largest = view(a).diagonal().cwiseAbs().maxCoeff();
  double smallest = factor.matrixLLT().diagonal().cwiseAbs2().minCoeff();
  if (!(smallest > tolerance * largest)) return std::nullopt;
  DenseMatrix result = b;
  Map solution = view(result);
  factor.solveInPlace(solution);
  return result;
}

std::optional<std::vector<double>> solve_symmetric(const DenseMatrix& a,
                                                   const std::vector<double>& b, double tolerance) {
  DenseMatrix column(b.size(), 1);
  column.values = b;
  std::optional<DenseMatrix> solved = solve_symmetric(a, column, tolerance);
  if (!solved) return std::nullopt;
  return std::move(solved->values);
}

std::optional<DenseMatrix> inverse_symmetric(const DenseMatrix& a, double tolerance) {
  DenseMatrix unit(a.rows, a.rows);
  for (std::size_t i = 0; i < a.rows; ++i) unit(i, i) = 1;
  return solve_symmetric(a, unit, tolerance);
}

}  // namespace gyges::analysis
