#include "analysis/statistics/simulated_study.h"

#include <cmath>

#include "analysis/statistics/default_test.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/sign_flip.h"

namespace gyges::analysis {
namespace {

double expit(double x) {
  return 1 / (1 + std::exp(-x));
}

// The level whose rate, averaged over a normal deviation, is `rate`. Midpoints over +-8 deviations.
double level_for(double rate, double deviation) {
  auto average = [&](double level) {
    if (deviation == 0) return expit(level);
    constexpr int steps = 400;
    double sum = 0;
    double weight = 0;
    for (int i = 0; i < steps; ++i) {
      double z = -8 + 16 * (i + 0.5) / steps;
      double density = std::exp(-z * z / 2);
      sum += density * expit(level + deviation * z);
      weight += density;
    }
    return sum / weight;
  };
  double low = -60;
  double high = 60;
  for (int i = 0; i < 60; ++i) {
    double middle = (low + high) / 2;
    (average(middle) < rate ? low : high) = middle;
  }
  return (low + high) / 2;
}

double total_deviation(const StudyDesign& design, double condition) {
  return std::sqrt(design.family_deviation * design.family_deviation +
                   design.task_deviation * design.task_deviation + condition * condition);
}

void draw_pair(double first_rate, double second_rate, RandomStream& random, PairedCounts& counts) {
  bool first = random.chance(first_rate);
  bool second = random.chance(second_rate);
  if (first && second) ++counts.both;
  if (first && !second) ++counts.first_only;
  if (!first && second) ++counts.second_only;
  if (!first && !second) ++counts.neither;
}

}  // namespace

SimulatedStudy::SimulatedStudy(const StudyDesign& design)
    : design_(design),
      first_level_(level_for(design.first_rate, total_deviation(design, 0))),
      second_level_(
          level_for(design.second_rate, total_deviation(design, design.condition_deviation))) {}

std::vector<PairedCounts> SimulatedStudy::draw(RandomStream& random) const {
  std::vector<PairedCounts> families(design_.families);
  for (PairedCounts& counts : families) {
    double family = design_.family_deviation * random.normal();
    double condition = design_.condition_deviation * random.normal();
    for (std::size_t task = 0; task < design_.tasks; ++task) {
      double here = family + design_.task_deviation * random.normal();
      double first_rate = expit(first_level_ + here);
      double second_rate = expit(second_level_ + here + condition);
      for (std::size_t repeat = 0; repeat < design_.repeats; ++repeat)
        draw_pair(first_rate, second_rate, random, counts);
    }
  }
  return families;
}

std::vector<PairedCounts> SimulatedStudy::draw_without_gap(RandomStream& random) const {
  std::vector<double> first;
  std::vector<double> second;  // both in logits, by family and task
  for (std::size_t family = 0; family < design_.families; ++family) {
    double here = design_.family_deviation * random.normal();
    double condition = design_.condition_deviation * random.normal();
    for (std::size_t task = 0; task < design_.tasks; ++task) {
      first.push_back(first_level_ + here + design_.task_deviation * random.normal());
      second.push_back(first.back() + condition);
    }
  }
  auto sum_of_rates = [](const std::vector<double>& logits, double shift) {
    double sum = 0;
    for (double logit : logits) sum += expit(logit + shift);
    return sum;
  };
  const double wanted = sum_of_rates(first, 0);
  double low = -20;
  double high = 20;
  for (int i = 0; i < 50; ++i) {
    double middle = (low + high) / 2;
    (sum_of_rates(second, middle) < wanted ? low : high) = middle;
  }
  std::vector<PairedCounts> families(design_.families);
  for (std::size_t i = 0; i < first.size(); ++i)
    for (std::size_t repeat = 0; repeat < design_.repeats; ++repeat)
      draw_pair(expit(first[i]), expit(second[i] + low), random, families[i / design_.tasks]);
  return families;
}

double simulated_power(const StudyDesign& design, std::uint64_t studies, std::uint64_t seed,
                       double alpha) {
  SimulatedStudy study(design);
  RandomStream random(seed);
  std::uint64_t found = 0;
  for (std::uint64_t i = 0; i < studies; ++i)
    found += analyse_pairs(study.draw(random))->p_value < alpha ? 1 : 0;
  return static_cast<double>(found) / static_cast<double>(studies);
}

}  // namespace gyges::analysis
