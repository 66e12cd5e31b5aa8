// How many runs an experiment needs to find what it looks for: by simulation of the default
// analysis under clustering, because formulas for independent runs promise too much.
#pragma once

#include <cstdint>
#include <optional>

#include "analysis/statistics/simulated_study.h"

namespace gyges::analysis {

struct RequiredRuns {
  double power = 0;  // of the design as given
  // Smallest number of repeats with the wanted power, all else as given; none up to `most_repeats`.
  std::optional<std::size_t> repeats;
  // Smallest number of families with the wanted power, all else as given; none up to 24.
  std::optional<std::size_t> families;
  // Pairs for two one-sided tests at 0.05 to conclude that equal rates (the first) differ by less
  // than the margin with the wanted power, without clustering.
  std::optional<std::uint64_t> pairs_for_margin;
};

inline constexpr std::size_t most_repeats = 5000;

// power in (0, 1); alpha is the level after adjustment for several contrasts. Figures carry a
// simulation error of two points or so. Same input, same answer; some seconds for large designs.
RequiredRuns required_runs(const StudyDesign& design, double power, double alpha,
                           std::optional<double> margin);

}  // namespace gyges::analysis
