#include "analysis/statistics/sign_flip.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>

namespace gyges::analysis {
namespace {

constexpr std::size_t enumeration_limit = 32;  // 65,536 sums in each half
constexpr std::uint64_t most_draws = 100000;
constexpr std::uint64_t least_draws = 20000;
constexpr std::uint64_t signs_drawn = 100'000'000;  // in all, between these bounds

// Sums of differences under random signs, eight at a time: for each eight, the sums of all their
// patterns are worked out once.
class RandomSigns {
 public:
  explicit RandomSigns(const std::vector<double>& differences) {
    for (std::size_t at = 0; at < differences.size(); at += 8) {
      std::size_t size = std::min<std::size_t>(8, differences.size() - at);
      for (unsigned pattern = 0; pattern < 256; ++pattern) {
        double sum = 0;
        for (std::size_t i = 0; i < size; ++i)
          sum += (pattern >> i & 1U) != 0 ? -differences[at + i] : differences[at + i];
        sums_.push_back(sum);
      }
    }
  }

  double next() {
    double sum = 0;
    std::uint64_t bits = 0;
    for (std::size_t at = 0; at < sums_.size(); at += 256) {
      if (at % 2048 == 0) bits = random_();
      sum += sums_[at + (bits & 255U)];
      bits >>= 8U;
    }
    return sum;
  }

 private:
  std::vector<double> sums_;          // 256 for each eight
  std::mt19937_64 random_{20251121};  // fixed: the same data give the same report
};

// The sums of all sign patterns, ascending.
std::vector<double> signed_sums(const double* differences, std::size_t count) {
  std::vector<double> sums{0};
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t before = sums.size();
    for (std::size_t k = 0; k < before; ++k) {
      sums.push_back(sums[k] - differences[i]);
      sums[k] += differences[i];
    }
  }
  std::sort(sums.begin(), sums.end());
  return sums;
}

// How many of all patterns have a sum at least `threshold` from zero: each sum of the first half
// against the sorted sums of the second, which takes 2^(n/2) steps where trying all takes 2^n.
std::uint64_t extreme_patterns(const std::vector<double>& differences, double threshold) {
  std::size_t half = differences.size() / 2;
  std::vector<double> first = signed_sums(differences.data(), half);
  std::vector<double> second = signed_sums(differences.data() + half, differences.size() - half);
  std::uint64_t extreme = 0;
  std::size_t high = second.size();  // second[high..] reach the threshold from above
  std::size_t low = second.size();   // second[..low) reach it from below
  for (double sum : first) {
    while (high > 0 && sum + second[high - 1] >= threshold) --high;
    while (low > 0 && sum + second[low - 1] > -threshold) --low;
    extreme += second.size() - high + low;
  }
  return extreme;
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
  const double threshold = std::fabs(total) - magnitude * 1e-12;
  const double beyond = std::fabs(total) + magnitude * 1e-12;
  if (threshold <= 0) return result;
  if (differences.size() <= enumeration_limit) {
    auto share = [&](double least) {
      return std::ldexp(static_cast<double>(extreme_patterns(differences, least)),
                        -static_cast<int>(differences.size()));
    };
    result.p_value = share(threshold);
    if (result.p_value < 1) result.mid_p_value = (result.p_value + share(beyond)) / 2;
    return result;
  }
  std::uint64_t extreme = 0;
  std::uint64_t more_extreme = 0;
  result.enumerated = false;
  const std::uint64_t draws =
      std::clamp<std::uint64_t>(signs_drawn / differences.size(), least_draws, most_draws);
  RandomSigns signs(differences);
  for (std::uint64_t draw = 0; draw < draws; ++draw) {
    const double sum = std::fabs(signs.next());
    extreme += sum >= threshold ? 1 : 0;
    more_extreme += sum >= beyond ? 1 : 0;
  }
  // The observed pattern counts as one draw, which keeps the test valid.
  result.p_value = static_cast<double>(extreme + 1) / static_cast<double>(draws + 1);
  result.mid_p_value =
      (static_cast<double>(extreme + more_extreme) / 2 + 1) / static_cast<double>(draws + 1);
  return result;
}

}  // namespace gyges::analysis
