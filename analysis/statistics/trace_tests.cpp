#include "analysis/statistics/trace_tests.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/statistics/dense_matrix.h"

namespace gyges::analysis {
namespace {

std::size_t second_runs(const BlockedLabels& labels) {
  return static_cast<std::size_t>(std::count(labels.second.begin(), labels.second.end(), true));
}

DenseMatrix rows_of(const FeatureMatrix& matrix) {
  DenseMatrix rows(matrix.runs(), matrix.features);
  rows.values = matrix.values;
  return rows;
}

DenseMatrix squared_distances(const FeatureMatrix& matrix) {
  DenseMatrix squares = gram(rows_of(matrix));
  std::vector<double> lengths;
  for (std::size_t i = 0; i < squares.rows; ++i) lengths.push_back(squares(i, i));
  for (std::size_t i = 0; i < squares.rows; ++i)
    for (std::size_t j = 0; j < squares.rows; ++j)
      squares(i, j) = i == j ? 0 : std::max(0.0, lengths[i] + lengths[j] - 2 * squares(i, j));
  return squares;
}

// 1 for the second arm, 0 for the first.
std::vector<double> indicator(const std::vector<bool>& second) {
  return {second.begin(), second.end()};
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// Sums of a symmetric matrix within the second arm, within the first and between the two.
struct Sums {
  double within_second;
  double within_first;
  double between;
};

class ArmSums {
 public:
  explicit ArmSums(DenseMatrix matrix)
      : matrix_(std::move(matrix)),
        rows_(product(matrix_, std::vector<double>(matrix_.rows, 1.0))) {
    total_ = std::accumulate(rows_.begin(), rows_.end(), 0.0);
  }

  [[nodiscard]] Sums of(const std::vector<bool>& arms) const {
    std::vector<double> second = indicator(arms);
    double within_second = dot(second, product(matrix_, second));
    double of_second = dot(rows_, second);
    double between = of_second - within_second;
    return {within_second, total_ - of_second - between, between};
  }

 private:
  DenseMatrix matrix_;
  std::vector<double> rows_;
  double total_ = 0;
};

template <class Statistic>
TraceTest permuted(const BlockedLabels& labels, std::uint64_t permutations, std::uint64_t seed,
                   Statistic statistic) {
  TraceTest test;
  test.permutations = permutations;
  test.statistic = statistic(labels.second);
  double threshold = test.statistic - 1e-12 * std::fabs(test.statistic) - 1e-14;
  LabelShuffler shuffler(labels, seed);
  std::uint64_t extreme = 1;  // the observed arrangement counts as one draw
  for (std::uint64_t i = 0; i < permutations; ++i)
    extreme += statistic(shuffler.next()) >= threshold ? 1 : 0;
  test.p_value = static_cast<double>(extreme) / static_cast<double>(permutations + 1);
  return test;
}

// Predictions of least squares with the run itself left out, and in small blocks (pairs) the whole
// block: a run's partner always has the other label, and would teach the classifier the opposite.
// For a block B: (I - H_BB)^-1 (prediction_B - H_BB label_B).
class LeaveOut {
 public:
  static constexpr std::size_t largest_block = 4;

  LeaveOut(DenseMatrix hat, const BlockedLabels& labels) : hat_(std::move(hat)) {
    std::vector<std::vector<std::size_t>> blocks(labels.blocks());
    for (std::size_t i = 0; i < labels.size(); ++i) blocks[labels.block[i]].push_back(i);
    for (const std::vector<std::size_t>& block : blocks) {
      if (block.size() <= largest_block) {
        add(block);
        continue;
      }
      for (std::size_t i : block) add({i});
    }
  }

  [[nodiscard]] std::vector<double> of(const std::vector<double>& target) const {
    std::vector<double> fitted = product(hat_, target);
    std::vector<double> scores(target.size());
    for (const Part& part : parts_)
      for (std::size_t a = 0; a < part.runs.size(); ++a)
        for (std::size_t b = 0; b < part.runs.size(); ++b)
          scores[part.runs[a]] += part.inverse(a, b) * fitted[part.runs[b]];
    return scores;
  }

 private:
  struct Part {
    std::vector<std::size_t> runs;
    DenseMatrix inverse;  // of I - H_BB
  };

  // Keeps the inverse and takes the block's own part out of the hat matrix.
  void add(const std::vector<std::size_t>& runs) {
    std::size_t size = runs.size();
    DenseMatrix rest(size, size);
    for (std::size_t a = 0; a < size; ++a) {
      for (std::size_t b = 0; b < size; ++b) {
        rest(a, b) = (a == b ? 1 : 0) - hat_(runs[a], runs[b]);
        hat_(runs[a], runs[b]) = 0;
      }
    }
    if (std::optional<DenseMatrix> inverse = inverse_symmetric(rest))
      parts_.push_back({runs, std::move(*inverse)});
  }

  DenseMatrix hat_;
  std::vector<Part> parts_;
};

// Share of pairs of runs, one of each arm, in which the score of the second arm is higher; ties
// count half.
double area_under_curve(const std::vector<double>& scores, const std::vector<bool>& second) {
  std::vector<std::size_t> order(second.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  auto score = [&](std::size_t i) { return scores[i]; };
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return score(a) < score(b); });
  double below = 0;
  double wins = 0;
  double n2 = 0;
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    double first_here = 0;
    double second_here = 0;
    for (; end < order.size() && score(order[end]) - score(order[i]) <= 1e-12; ++end)
      ++(second[order[end]] ? second_here : first_here);
    wins += second_here * (below + first_here / 2);
    below += first_here;
    n2 += second_here;
    i = end;
  }
  return wins / (below * n2);
}

}  // namespace

FeatureMatrix standardised(FeatureMatrix matrix) {
  std::size_t runs = matrix.runs();
  for (std::size_t f = 0; f < matrix.features; ++f) {
    double mean = 0;
    for (std::size_t i = 0; i < runs; ++i) mean += matrix.values[i * matrix.features + f];
    mean /= static_cast<double>(runs);
    double squares = 0;
    for (std::size_t i = 0; i < runs; ++i) {
      double apart = matrix.values[i * matrix.features + f] - mean;
      squares += apart * apart;
    }
    double deviation = std::sqrt(squares / static_cast<double>(runs));
    bool constant = deviation <= 1e-12 * std::max(1.0, std::fabs(mean));
    for (std::size_t i = 0; i < runs; ++i) {
      double& value = matrix.values[i * matrix.features + f];
      value = constant ? 0 : (value - mean) / deviation;
    }
  }
  return matrix;
}

std::optional<TraceTest> energy_test(const FeatureMatrix& matrix, const BlockedLabels& labels,
                                     std::uint64_t permutations, std::uint64_t seed) {
  double n2 = static_cast<double>(second_runs(labels));
  double n1 = static_cast<double>(labels.size()) - n2;
  if (n1 == 0 || n2 == 0 || matrix.runs() != labels.size()) return std::nullopt;
  DenseMatrix distances = squared_distances(matrix);
  for (double& value : distances.values) value = std::sqrt(value);
  ArmSums arms(std::move(distances));
  return permuted(labels, permutations, seed, [&](const std::vector<bool>& second) {
    Sums sums = arms.of(second);
    return 2 * sums.between / (n1 * n2) - sums.within_first / (n1 * n1) -
           sums.within_second / (n2 * n2);
  });
}

std::optional<TraceTest> mmd_test(const FeatureMatrix& matrix, const BlockedLabels& labels,
                                  std::uint64_t permutations, std::uint64_t seed) {
  double n2 = static_cast<double>(second_runs(labels));
  double n1 = static_cast<double>(labels.size()) - n2;
  if (n1 < 2 || n2 < 2 || matrix.runs() != labels.size()) return std::nullopt;
  DenseMatrix kernel = squared_distances(matrix);
  std::vector<double> above_zero;
  for (std::size_t i = 0; i < kernel.rows; ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (kernel(i, j) > 0) above_zero.push_back(kernel(i, j));
  double median = 1;
  if (!above_zero.empty()) {
    auto middle = above_zero.begin() + static_cast<std::ptrdiff_t>(above_zero.size() / 2);
    std::nth_element(above_zero.begin(), middle, above_zero.end());
    median = *middle;
  }
  // The unbiased estimate leaves out each run against itself.
  for (std::size_t i = 0; i < kernel.rows; ++i)
    for (std::size_t j = 0; j < kernel.rows; ++j)
      kernel(i, j) = i == j ? 0 : std::exp(-kernel(i, j) / (2 * median));
  ArmSums arms(std::move(kernel));
  return permuted(labels, permutations, seed, [&](const std::vector<bool>& second) {
    Sums sums = arms.of(second);
    return sums.within_first / (n1 * (n1 - 1)) + sums.within_second / (n2 * (n2 - 1)) -
           2 * sums.between / (n1 * n2);
  });
}

std::optional<TraceTest> classifier_test(const FeatureMatrix& matrix, const BlockedLabels& labels,
                                         std::uint64_t permutations, std::uint64_t seed,
                                         double ridge) {
  std::size_t n2 = second_runs(labels);
  if (n2 == 0 || n2 == labels.size() || matrix.runs() != labels.size()) return std::nullopt;
  DenseMatrix kernel = gram(rows_of(matrix));
  std::size_t n = kernel.rows;
  double scale = 0;
  for (std::size_t i = 0; i < n; ++i) scale += kernel(i, i) / static_cast<double>(n);
  // An intercept, regularised like a feature.
  for (double& value : kernel.values) value += std::max(scale, 1.0);
  DenseMatrix regularised = kernel;
  for (std::size_t i = 0; i < n; ++i) regularised(i, i) += ridge * std::max(scale, 1e-9) + 1e-9;
  std::optional<DenseMatrix> hat = solve_symmetric(regularised, kernel, 0);
  if (!hat) return std::nullopt;
  // Kernel and regularised kernel commute, so the hat matrix is symmetric.
  LeaveOut predictions(std::move(*hat), labels);
  return permuted(labels, permutations, seed, [&](const std::vector<bool>& second) {
    std::vector<double> target = indicator(second);
    for (double& value : target) value = 2 * value - 1;
    return area_under_curve(predictions.of(target), second);
  });
}

}  // namespace gyges::analysis
