#include "analysis/comparison/factor_effects.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace gyges::analysis {
namespace {

struct Level {
  std::string factor;
  std::string level;
  [[nodiscard]] std::string name() const { return factor + "=" + level; }
};

// The levels beside the first of every factor that varies.
std::vector<Level> varying_levels(const std::vector<const Run*>& runs, std::size_t& factors) {
  std::map<std::string, std::set<std::string>> seen;
  for (const Run* run : runs)
    for (const auto& [factor, level] : run->condition) seen[factor].insert(level);
  std::vector<Level> levels;
  factors = 0;
  for (const auto& [factor, names] : seen) {
    if (names.size() < 2) continue;
    ++factors;
    for (auto name = std::next(names.begin()); name != names.end(); ++name)
      levels.push_back({factor, *name});
  }
  return levels;
}

std::string cluster_of(const Run& run, bool by_family) {
  return by_family ? run.family : fmt::format("{}\n{}", run.scenario, run.repeat);
}

LogisticData data_of(const std::vector<const Run*>& runs, const std::vector<bool>& outcome,
                     const std::vector<Level>& levels, bool by_family) {
  LogisticData data;
  data.outcome = outcome;
  for (const Level& level : levels) data.variables.push_back(level.name());
  std::map<std::string, std::size_t> clusters;
  for (const Run* run : runs)
    data.cluster.push_back(
        clusters.emplace(cluster_of(*run, by_family), clusters.size()).first->second);
  for (const Run* run : runs) {
    std::vector<double> values;
    for (const Level& level : levels) {
      auto found = run->condition.find(level.factor);
      values.push_back(found != run->condition.end() && found->second == level.level ? 1 : 0);
    }
    data.values.push_back(std::move(values));
  }
  data.terms.push_back({});
  for (std::size_t i = 0; i < levels.size(); ++i) data.terms.push_back({i});
  return data;
}

// All levels of the factor at zero but one.
Setting setting(double weight, const std::vector<Level>& levels,
                const std::vector<std::pair<std::size_t, bool>>& chosen) {
  Setting result{weight, {}};
  for (std::size_t i = 0; i < levels.size(); ++i) {
    for (const auto& [index, on] : chosen) {
      if (levels[i].factor != levels[index].factor) continue;
      result.variables.emplace_back(i, on && i == index ? 1.0 : 0.0);
    }
  }
  return result;
}

void effects_of(const std::string& agent, const std::vector<const Run*>& runs,
                const std::vector<bool>& outcome, const std::string& name,
                std::vector<FactorEffect>& effects) {
  std::size_t factors = 0;
  std::vector<Level> levels = varying_levels(runs, factors);
  if (factors < 2) return;
  std::set<std::string> families;
  for (const Run* run : runs) families.insert(run->family);
  FactorEffect entry{agent, name, "", false, runs.size(), families.size(), {}, ""};
  LogisticData main = data_of(runs, outcome, levels, families.size() >= 2);
  Result<LogisticFit> fit = fit_logistic(main);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    entry.factor = levels[i].name();
    if (fit)
      entry.effect = marginal_effect(
          main, *fit, {setting(1, levels, {{i, true}}), setting(-1, levels, {{i, false}})});
    else
      entry.problem = fit.error().line();
    effects.push_back(entry);
  }
  entry.interaction = true;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    for (std::size_t j = i + 1; j < levels.size(); ++j) {
      if (levels[i].factor == levels[j].factor) continue;
      // One interaction at a time keeps the model within what the runs can carry.
      LogisticData with = main;
      with.terms.push_back({i, j});
      Result<LogisticFit> both = fit_logistic(with);
      entry.factor = levels[i].name() + " x " + levels[j].name();
      entry.effect = {};
      entry.problem.clear();
      if (both)
        entry.effect = marginal_effect(with, *both,
                                       {setting(1, levels, {{i, true}, {j, true}}),
                                        setting(-1, levels, {{i, true}, {j, false}}),
                                        setting(-1, levels, {{i, false}, {j, true}}),
                                        setting(1, levels, {{i, false}, {j, false}})});
      else
        entry.problem = both.error().line();
      effects.push_back(entry);
    }
  }
}

}  // namespace

std::vector<FactorEffect> factor_effects(const std::vector<Run>& runs, const OutcomeColumn& column,
                                         const std::string& outcome) {
  std::map<std::string, std::pair<std::vector<const Run*>, std::vector<bool>>> agents;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!column[i]) continue;
    auto& [members, outcomes] = agents[runs[i].agent];
    members.push_back(&runs[i]);
    outcomes.push_back(*column[i]);
  }
  std::vector<FactorEffect> effects;
  for (const auto& [agent, members] : agents)
    effects_of(agent, members.first, members.second, outcome, effects);
  return effects;
}

}  // namespace gyges::analysis
