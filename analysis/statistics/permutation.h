// Two samples compared by exchanging their labels: R. A. Fisher, The Design of Experiments (1935);
// E. J. G. Pitman, Supplement to the Journal of the Royal Statistical Society 4 (1937) 119-130.
// Labels are exchanged within blocks only (same task), so a difference between tasks never looks
// like one between arms.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/statistics/proportion.h"
#include "analysis/statistics/random_stream.h"

namespace gyges::analysis {

// One label and one block for each observation. Blocks are numbered from 0 without gaps; a block
// with one arm alone says nothing and is permitted.
struct BlockedLabels {
  std::vector<bool> second;        // arm
  std::vector<std::size_t> block;  // of the same length

  [[nodiscard]] std::size_t size() const { return second.size(); }
  [[nodiscard]] std::size_t blocks() const;
};

// Exchanges labels at random within blocks, each arrangement equally likely.
class LabelShuffler {
 public:
  LabelShuffler(BlockedLabels labels, std::uint64_t seed);
  // The next arrangement, valid until the next call.
  const std::vector<bool>& next();

 private:
  std::vector<bool> labels_;
  std::vector<std::vector<std::size_t>> members_;  // of each block
  RandomStream random_;
};

struct Permutation {
  double difference = 0;   // the statistic: mean of the second arm minus mean of the first
  double p_value = 1;      // two-sided
  bool enumerated = true;  // all arrangements; false: 2,000 to 20,000 drawn with a fixed seed
};

// Are the values of the second arm higher or lower? All values finite. All arrangements are
// enumerated when there are at most 100,000; more are drawn, fewer the more values there are. None
// when an arm is empty.
std::optional<Permutation> permutation_test(const std::vector<double>& values,
                                            const BlockedLabels& labels);

// The p-value of that test for values that are yes or no, over all arrangements however many there
// are: the second arm's successes are a sum of hypergeometric numbers, one for each block (J. J.
// Gart, Biometrika 57 (1970) 471-475, on the exact analysis of several 2 x 2 tables). 1 without
// any success, or without any failure.
struct BlockCounts {
  Proportion first;
  Proportion second;
};
double permutation_of_counts(const std::vector<BlockCounts>& blocks);

}  // namespace gyges::analysis
