// Studies drawn from a model of what runs do, to see what an analysis makes of them: calibration,
// and the power of a plan.
//
// Logit of a run's rate = level of the condition + its family + its task + family x condition, the
// last three normal with mean zero. Levels are set so that the rate averaged over families and
// tasks is the stated one.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/statistics/proportion.h"
#include "analysis/statistics/random_stream.h"

namespace gyges::analysis {

struct StudyDesign {
  std::size_t families = 1;
  std::size_t tasks = 1;        // of each family
  std::size_t repeats = 1;      // pairs of each task
  double first_rate = 0.05;     // in (0, 1)
  double second_rate = 0.05;    // in (0, 1)
  double family_deviation = 0;  // standard deviations in logits
  double task_deviation = 0;
  double condition_deviation = 0;  // of family x condition, in the second arm

  [[nodiscard]] std::size_t pairs() const { return families * tasks * repeats; }
};

class SimulatedStudy {
 public:
  explicit SimulatedStudy(const StudyDesign& design);

  // The counts of each family in one study.
  std::vector<PairedCounts> draw(RandomStream& random) const;

  // The same with the second level set anew, so that the tasks drawn have no gap on average,
  // however much their families differ: what a claim about these tasks alone is tested against.
  std::vector<PairedCounts> draw_without_gap(RandomStream& random) const;

 private:
  StudyDesign design_;
  double first_level_;
  double second_level_;
};

// Share of `studies` in which analyse_pairs has p < alpha. The same seed gives the same answer; the
// standard error is at most 0.5 / sqrt(studies).
double simulated_power(const StudyDesign& design, std::uint64_t studies, std::uint64_t seed,
                       double alpha = 0.05);

}  // namespace gyges::analysis
