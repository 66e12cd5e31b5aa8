#include "analysis/comparison/contrast.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace gyges::analysis {
namespace {

// What a run shares with its partner.
std::string pairing_key(const Run& run, const std::string& factor) {
  std::string key =
      fmt::format("{}\n{}\n{}\n{}", run.experiment, run.scenario, run.repeat, run.seed);
  for (const auto& [name, level] : run.condition)
    if (name != factor) key += fmt::format("\n{}={}", name, level);
  return key;
}

void pair_up(const std::vector<Run>& runs, Contrast& contrast) {
  std::map<std::string, std::vector<std::size_t>> waiting;
  for (std::size_t index : contrast.second_runs)
    waiting[pairing_key(runs[index], contrast.factor)].push_back(index);
  for (std::size_t index : contrast.first_runs) {
    auto found = waiting.find(pairing_key(runs[index], contrast.factor));
    if (found == waiting.end() || found->second.empty()) continue;
    contrast.pairs.push_back({index, found->second.front()});
    found->second.erase(found->second.begin());
  }
  // Half of the smaller arm: below that the pairs are an accident and leave too much out.
  std::size_t smaller = std::min(contrast.first_runs.size(), contrast.second_runs.size());
  contrast.paired = !contrast.pairs.empty() && contrast.pairs.size() * 2 >= smaller;
}

using RunsOfAgent = std::map<std::string, std::vector<std::size_t>>;

RunsOfAgent by_agent(const std::vector<Run>& runs) {
  RunsOfAgent grouped;
  for (std::size_t i = 0; i < runs.size(); ++i) grouped[runs[i].agent].push_back(i);
  return grouped;
}

std::vector<Contrast> between_levels(const std::vector<Run>& runs, const std::string& agent,
                                     const std::vector<std::size_t>& indices,
                                     const ContrastOptions& options, const std::string& arm,
                                     bool& baseline_found) {
  const std::string& baseline = options.baseline;
  std::map<std::string, std::map<std::string, std::vector<std::size_t>>> factors;
  for (std::size_t index : indices)
    for (const auto& [factor, level] : runs[index].condition)
      factors[factor][level].push_back(index);
  std::vector<Contrast> contrasts;
  for (const auto& [factor, levels] : factors) {
    if (factor == options.arm_factor) continue;
    if (!options.only_factor.empty() && factor != options.only_factor) continue;
    auto first = levels.begin();
    for (auto level = levels.begin(); level != levels.end(); ++level) {
      if (level->first != baseline && factor + "=" + level->first != baseline) continue;
      first = level;
      baseline_found = true;
    }
    for (const auto& [level, members] : levels) {
      if (level == first->first) continue;
      Contrast contrast;
      contrast.agent = agent;
      contrast.factor = factor;
      contrast.first_level = first->first;
      contrast.second_level = level;
      contrast.arm = arm;
      std::string suffix = arm.empty() ? "" : ", " + arm;
      contrast.first = factor + "=" + first->first + suffix;
      contrast.second = factor + "=" + level + suffix;
      contrast.first_runs = first->second;
      contrast.second_runs = members;
      pair_up(runs, contrast);
      contrasts.push_back(std::move(contrast));
    }
  }
  return contrasts;
}

// One list of contrasts for each level of the factor that splits the runs, or one for all of them.
std::vector<Contrast> within_arms(const std::vector<Run>& runs, const std::string& agent,
                                  const std::vector<std::size_t>& indices,
                                  const ContrastOptions& options, bool& baseline_found) {
  if (options.arm_factor.empty())
    return between_levels(runs, agent, indices, options, "", baseline_found);
  std::map<std::string, std::vector<std::size_t>> arms;
  for (std::size_t index : indices) {
    auto level = runs[index].condition.find(options.arm_factor);
    if (level != runs[index].condition.end())
      arms[options.arm_factor + "=" + level->second].push_back(index);
  }
  std::vector<Contrast> contrasts;
  for (const auto& [arm, members] : arms)
    for (Contrast& contrast : between_levels(runs, agent, members, options, arm, baseline_found))
      contrasts.push_back(std::move(contrast));
  return contrasts;
}

// Name of the condition in a slot "<scenario>.<agent>.<condition>.r<repeat>".
std::string condition_id(const Run& run) {
  std::string prefix = run.scenario + ".";
  std::size_t end = run.slot.rfind(".r");
  if (run.slot.rfind(prefix, 0) != 0 || end == std::string::npos || end <= prefix.size()) return "";
  std::string middle = run.slot.substr(prefix.size(), end - prefix.size());
  std::size_t dot = middle.rfind('.');
  return dot == std::string::npos ? "" : middle.substr(dot + 1);
}

// Two arms of one condition: the two names under which the experiment ran it, or else even against
// odd repeats.
std::vector<Contrast> within_conditions(const std::vector<Run>& runs, const std::string& agent,
                                        const std::vector<std::size_t>& indices) {
  std::map<std::string, std::vector<std::size_t>> conditions;
  for (std::size_t index : indices) conditions[runs[index].condition_label()].push_back(index);
  std::vector<Contrast> contrasts;
  for (const auto& [label, members] : conditions) {
    std::set<std::string> ids;
    for (std::size_t index : members) ids.insert(condition_id(runs[index]));
    Contrast contrast;
    contrast.agent = agent;
    contrast.same_condition = true;
    bool named = ids.size() == 2 && ids.count("") == 0;
    contrast.first = label + (named ? " as " + *ids.begin() : ", even repeats");
    contrast.second = label + (named ? " as " + *ids.rbegin() : ", odd repeats");
    for (std::size_t index : members) {
      bool in_first =
          named ? condition_id(runs[index]) == *ids.begin() : runs[index].repeat % 2 == 0;
      (in_first ? contrast.first_runs : contrast.second_runs).push_back(index);
    }
    if (named) pair_up(runs, contrast);
    if (!contrast.first_runs.empty() && !contrast.second_runs.empty())
      contrasts.push_back(std::move(contrast));
  }
  return contrasts;
}

}  // namespace

Result<std::vector<Contrast>> build_contrasts(const std::vector<Run>& runs,
                                              const ContrastOptions& options) {
  std::vector<Contrast> all;
  bool baseline_found = options.baseline.empty();
  for (const auto& [agent, indices] : by_agent(runs)) {
    std::vector<Contrast> some = options.same_condition
                                     ? within_conditions(runs, agent, indices)
                                     : within_arms(runs, agent, indices, options, baseline_found);
    all.insert(all.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
  }
  if (!baseline_found && !options.same_condition)
    return fail("compare", options.baseline, "no run has this level",
                "name a level of a factor as the scenario spells it");
  return all;
}

}  // namespace gyges::analysis
