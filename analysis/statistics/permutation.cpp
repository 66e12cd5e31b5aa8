#include "analysis/statistics/permutation.h"

#include <algorithm>
#include <cmath>

namespace gyges::analysis {
namespace {

constexpr double enumeration_limit = 100000;
constexpr std::uint64_t most_draws = 20000;
constexpr std::uint64_t least_draws = 2000;
constexpr std::uint64_t values_drawn = 20'000'000;  // in all, between these bounds

struct Block {
  std::vector<double> values;
  std::size_t second = 0;  // how many of them are of the second arm
};

double arrangements(const std::vector<Block>& blocks) {
  double product = 1;
  for (const Block& block : blocks)
    for (std::size_t i = 1; i <= block.second; ++i)
      product *=
          static_cast<double>(block.values.size() - block.second + i) / static_cast<double>(i);
  return product;
}

// How likely each number of successes in the second arm is, from the least possible on.
struct Chances {
  std::uint64_t least = 0;
  std::vector<double> chance;
};

double log_choose(std::uint64_t n, std::uint64_t k) {
  return std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
         std::lgamma(static_cast<double>(n - k) + 1);
}

Chances hypergeometric(const BlockCounts& block) {
  std::uint64_t successes = block.first.successes + block.second.successes;
  std::uint64_t failures = block.first.trials + block.second.trials - successes;
  std::uint64_t drawn = block.second.trials;
  Chances result{drawn > failures ? drawn - failures : 0, {}};
  double all = log_choose(successes + failures, drawn);
  for (std::uint64_t x = result.least; x <= std::min(successes, drawn); ++x)
    result.chance.push_back(
        std::exp(log_choose(successes, x) + log_choose(failures, drawn - x) - all));
  return result;
}

// Visits the sum of the second arm in every arrangement.
template <class Visit>
void enumerate(const std::vector<Block>& blocks, std::size_t block, std::size_t index,
               std::size_t chosen, double sum, Visit& visit) {
  if (block == blocks.size()) {
    visit(sum);
    return;
  }
  const Block& here = blocks[block];
  if (chosen == here.second) {
    enumerate(blocks, block + 1, 0, 0, sum, visit);
    return;
  }
  if (here.values.size() - index > here.second - chosen)
    enumerate(blocks, block, index + 1, chosen, sum, visit);
  enumerate(blocks, block, index + 1, chosen + 1, sum + here.values[index], visit);
}

}  // namespace

std::size_t BlockedLabels::blocks() const {
  return block.empty() ? 0 : *std::max_element(block.begin(), block.end()) + 1;
}

LabelShuffler::LabelShuffler(BlockedLabels labels, std::uint64_t seed)
    : labels_(std::move(labels.second)), members_(labels.blocks()), random_(seed) {
  for (std::size_t i = 0; i < labels.block.size(); ++i) members_[labels.block[i]].push_back(i);
}

const std::vector<bool>& LabelShuffler::next() {
  for (const std::vector<std::size_t>& members : members_) {
    for (std::size_t i = members.size(); i > 1; --i) {
      std::size_t other = static_cast<std::size_t>(random_.below(i));
      bool kept = labels_[members[i - 1]];
      labels_[members[i - 1]] = labels_[members[other]];
      labels_[members[other]] = kept;
    }
  }
  return labels_;
}

double permutation_of_counts(const std::vector<BlockCounts>& blocks) {
  Chances sum{0, {1.0}};
  double observed = 0;
  double expected = 0;
  for (const BlockCounts& block : blocks) {
    double trials = static_cast<double>(block.first.trials + block.second.trials);
    if (trials == 0) continue;
    observed += static_cast<double>(block.second.successes);
    expected += static_cast<double>(block.first.successes + block.second.successes) *
                static_cast<double>(block.second.trials) / trials;
    Chances here = hypergeometric(block);
    std::vector<double> together(sum.chance.size() + here.chance.size() - 1, 0.0);
    for (std::size_t i = 0; i < sum.chance.size(); ++i)
      for (std::size_t k = 0; k < here.chance.size(); ++k)
        together[i + k] += sum.chance[i] * here.chance[k];
    sum = {sum.least + here.least, std::move(together)};
  }
  const double threshold = std::fabs(observed - expected) - 1e-9;
  double extreme = 0;
  for (std::size_t i = 0; i < sum.chance.size(); ++i)
    if (std::fabs(static_cast<double>(sum.least + i) - expected) >= threshold)
      extreme += sum.chance[i];
  return std::min(1.0, extreme);
}

std::optional<Permutation> permutation_test(const std::vector<double>& values,
                                            const BlockedLabels& labels) {
  std::vector<Block> blocks(labels.blocks());
  double total = 0;
  double second_sum = 0;
  double magnitude = 0;
  std::size_t second = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    Block& block = blocks[labels.block[i]];
    block.values.push_back(values[i]);
    total += values[i];
    magnitude += std::fabs(values[i]);
    if (!labels.second[i]) continue;
    ++block.second;
    ++second;
    second_sum += values[i];
  }
  if (second == 0 || second == values.size()) return std::nullopt;
  double n2 = static_cast<double>(second);
  double n1 = static_cast<double>(values.size() - second);
  auto difference = [&](double sum) { return sum / n2 - (total - sum) / n1; };
  // Under exchange within blocks the statistic need not be centred at zero.
  double expected = 0;
  for (const Block& block : blocks) {
    double sum = 0;
    for (double value : block.values) sum += value;
    if (!block.values.empty())
      expected +=
          sum * static_cast<double>(block.second) / static_cast<double>(block.values.size());
  }
  Permutation result;
  result.difference = difference(second_sum);
  // Sums in another order round differently; equal must count as equal.
  double threshold = std::fabs(second_sum - expected) - magnitude * 1e-12;
  std::uint64_t extreme = 0;
  std::uint64_t seen = 0;
  auto visit = [&](double sum) {
    ++seen;
    extreme += std::fabs(sum - expected) >= threshold ? 1 : 0;
  };
  if (arrangements(blocks) <= enumeration_limit) {
    enumerate(blocks, 0, 0, 0, 0, visit);
    result.p_value = static_cast<double>(extreme) / static_cast<double>(seen);
    return result;
  }
  result.enumerated = false;
  const std::uint64_t draws =
      std::clamp<std::uint64_t>(values_drawn / values.size(), least_draws, most_draws);
  LabelShuffler shuffler(labels, 20251121);
  for (std::uint64_t draw = 0; draw < draws; ++draw) {
    const std::vector<bool>& arranged = shuffler.next();
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += arranged[i] ? values[i] : 0;
    visit(sum);
  }
  // The observed arrangement counts as one draw, which keeps the test valid.
  result.p_value = static_cast<double>(extreme + 1) / static_cast<double>(seen + 1);
  return result;
}

}  // namespace gyges::analysis
