#include "analysis/statistics/sign_flip.h"

#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>

namespace gyges::analysis {
namespace {

constexpr std::size_t enumeration_limit = 16;  // 65,536 patterns
constexpr std::uint64_t draws = 100000;

double signed_sum(const std::vector<double>& differences, std::uint64_t pattern) {
  double sum = 0;
  for (std::size_t i = 0; i < differences.size(); ++i)
    sum += (pattern >> i & 1U) != 0 ? -differences[i] : differences[i];
  return sum;
}

}  // namespace

std::optional<SignFlip> sign_flip_test(const std::vector<double>& all) {
  if (all.size() < 2) return std::nullopt;
  double total = std::accumulate(all.begin(), all.end(), 0.0);
  SignFlip result;
  result.mean = total / static_cast<double>(all.size());
  // A zero keeps its value under either sign, so it changes no share of patterns.
  std::vector<double> differences;
  double magnitude = 0;
  for (double difference : all) {
    if (difference == 0) continue;
    differences.push_back(difference);
    magnitude += std::fabs(difference);
  }
  if (differences.empty()) return result;
  double threshold = std::fabs(total) - magnitude * 1e-12;
  std::uint64_t extreme = 0;
  if (differences.size() <= enumeration_limit) {
    std::uint64_t patterns = std::uint64_t{1} << differences.size();
    for (std::uint64_t pattern = 0; pattern < patterns; ++pattern)
      extreme += std::fabs(signed_sum(differences, pattern)) >= threshold ? 1 : 0;
    result.p_value = static_cast<double>(extreme) / static_cast<double>(patterns);
    return result;
  }
  result.enumerated = false;
  std::mt19937_64 random(20251121);  // fixed: the same data give the same report
  for (std::uint64_t draw = 0; draw < draws; ++draw) {
    double sum = 0;
    for (std::size_t i = 0; i < differences.size();) {
      std::uint64_t bits = random();
      for (int bit = 0; bit < 64 && i < differences.size(); ++bit, ++i)
        sum += (bits >> bit & 1U) != 0 ? -differences[i] : differences[i];
    }
    extreme += std::fabs(sum) >= threshold ? 1 : 0;
  }
  // The observed pattern counts as one draw, which keeps the test valid.
  result.p_value = static_cast<double>(extreme + 1) / static_cast<double>(draws + 1);
  return result;
}

}  // namespace gyges::analysis
