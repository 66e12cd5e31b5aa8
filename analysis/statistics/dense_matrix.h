// The few matrix operations that the models need. Eigen does them, in one source file: its headers
// take longer to compile than all the statistics together.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace gyges::analysis {

// Row by row.
struct DenseMatrix {
  DenseMatrix(std::size_t row_count, std::size_t column_count)
      : rows(row_count), columns(column_count), values(row_count * column_count) {}

  double& operator()(std::size_t row, std::size_t column) { return values[row * columns + column]; }
  double operator()(std::size_t row, std::size_t column) const {
    return values[row * columns + column];
  }

  std::size_t rows;
  std::size_t columns;
  std::vector<double> values;
};

// a b; a.columns equals b.rows.
DenseMatrix product(const DenseMatrix& a, const DenseMatrix& b);
// a a^T.
DenseMatrix gram(const DenseMatrix& a);
// a x; x has as many values as a has columns.
std::vector<double> product(const DenseMatrix& a, const std::vector<double>& x);

// x with a x = b for symmetric a. None when a is not positive definite, with pivots below
// `tolerance` times the largest diagonal entry taken for zero.
std::optional<DenseMatrix> solve_symmetric(const DenseMatrix& a, const DenseMatrix& b,
                                           double tolerance = 1e-13);
std::optional<std::vector<double>> solve_symmetric(const DenseMatrix& a,
                                                   const std::vector<double>& b,
                                                   double tolerance = 1e-13);
std::optional<DenseMatrix> inverse_symmetric(const DenseMatrix& a, double tolerance = 1e-13);

}  // namespace gyges::analysis
