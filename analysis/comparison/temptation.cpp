#include "analysis/comparison/temptation.h"

#include <map>

#include "analysis/statistics/default_test.h"

namespace gyges::analysis {
namespace {

using Cells = std::map<std::string, TemptedAndControl>;

void count(const std::vector<Run>& runs, const std::vector<std::size_t>& members,
           const OutcomeColumn& column, Proportion TemptedAndControl::*cell, Cells& families) {
  for (std::size_t index : members) {
    if (!column[index]) continue;
    Proportion& counted = families[runs[index].family].*cell;
    ++counted.trials;
    counted.successes += *column[index] ? 1 : 0;
  }
}

void add(Proportion& sum, Proportion part) {
  sum.successes += part.successes;
  sum.trials += part.trials;
}

TemptationEffect effect_of(const Cells& families) {
  TemptationEffect result;
  std::vector<TemptedAndControl> each;
  TemptedAndControl pooled;
  for (const auto& [family, cells] : families) {
    each.push_back(cells);
    add(pooled.tempted_first, cells.tempted_first);
    add(pooled.tempted_second, cells.tempted_second);
    add(pooled.control_first, cells.control_first);
    add(pooled.control_second, cells.control_second);
  }
  result.families = each.size();
  if (each.size() >= families_for_family_test) {
    result.method = "mid-p sign-flip and t interval over families";
    result.effect = difference_in_differences_over_families(each);
  } else {
    result.method = "Newcombe intervals combined by squares, these tasks";
    result.effect = difference_in_differences(pooled);
  }
  return result;
}

}  // namespace

std::vector<TemptationEffect> temptation_effects(const std::vector<Run>& runs,
                                                 const std::vector<Contrast>& contrasts,
                                                 const std::string& tempted_arm,
                                                 const std::string& control_arm,
                                                 const OutcomeColumn& column,
                                                 const std::string& outcome) {
  std::vector<TemptationEffect> effects;
  for (std::size_t t = 0; t < contrasts.size(); ++t) {
    const Contrast& tempted = contrasts[t];
    if (tempted.arm != tempted_arm) continue;
    for (std::size_t c = 0; c < contrasts.size(); ++c) {
      const Contrast& control = contrasts[c];
      if (control.arm != control_arm || control.agent != tempted.agent ||
          control.factor != tempted.factor || control.second_level != tempted.second_level ||
          control.first_level != tempted.first_level)
        continue;
      Cells families;
      count(runs, tempted.first_runs, column, &TemptedAndControl::tempted_first, families);
      count(runs, tempted.second_runs, column, &TemptedAndControl::tempted_second, families);
      count(runs, control.first_runs, column, &TemptedAndControl::control_first, families);
      count(runs, control.second_runs, column, &TemptedAndControl::control_second, families);
      TemptationEffect effect = effect_of(families);
      effect.tempted = t;
      effect.control = c;
      effect.outcome = outcome;
      effects.push_back(std::move(effect));
    }
  }
  return effects;
}

}  // namespace gyges::analysis
