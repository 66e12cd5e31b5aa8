// The values all methods of this folder share: a count out of a number of runs, and an interval.
//
// Every method states what it answers for empty arms and zero cells. None returns NaN or infinity:
// where a figure does not exist the answer is an empty optional, and the report writes null beside
// the reason.
#pragma once

#include <cstdint>
#include <optional>

namespace gyges::analysis {

struct Proportion {
  std::uint64_t successes = 0;  // at most trials
  std::uint64_t trials = 0;

  // Share of successes in 0..1; none without trials.
  [[nodiscard]] std::optional<double> rate() const {
    if (trials == 0) return std::nullopt;
    return static_cast<double>(successes) / static_cast<double>(trials);
  }
};

struct Interval {
  double low = 0;
  double high = 0;
};

// Counts of pairs by the outcome in the first and in the second arm.
struct PairedCounts {
  std::uint64_t both = 0;
  std::uint64_t first_only = 0;
  std::uint64_t second_only = 0;
  std::uint64_t neither = 0;

  [[nodiscard]] std::uint64_t pairs() const { return both + first_only + second_only + neither; }
  [[nodiscard]] Proportion first() const { return {both + first_only, pairs()}; }
  [[nodiscard]] Proportion second() const { return {both + second_only, pairs()}; }
};

}  // namespace gyges::analysis
