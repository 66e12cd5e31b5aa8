#include "analysis/comparison/registered.h"

#include <fmt/format.h>

#include <set>
#include <tuple>

namespace gyges::analysis {
namespace {

// What of a plan decides figures; hypothesis and expectations do not.
auto deciding(const AnalysisPlan& plan) {
  std::tuple<std::string, std::string, std::string> arms;
  if (plan.arms) arms = {plan.arms->factor, plan.arms->tempted, plan.arms->control};
  return std::tuple(plan.primary, plan.baseline, plan.margin, plan.stopping, plan.exclusions, arms);
}

}  // namespace

Result<Registered> registered_analysis(const std::vector<FoundBundle>& bundles) {
  Registered result;
  std::set<std::string> directories;
  for (const FoundBundle& bundle : bundles) directories.insert(bundle.experiment);
  for (const std::string& directory : directories) {
    GYGES_TRY(std::optional<Registration> registration, read_registration(directory));
    if (!registration) continue;
    if (!registration->intact)
      result.notes.push_back(
          fmt::format("{}: the registration was edited after it was made: its hash does not fit",
                      (registration->directory / "experiment.json").string()));
    result.experiments.push_back(std::move(*registration));
  }
  const AnalysisPlan* first = nullptr;
  bool agree = true;
  for (const Registration& one : result.experiments) {
    const AnalysisPlan& plan = one.plan ? *one.plan : result.plan;
    if (first == nullptr)
      first = &plan;
    else
      agree = agree && deciding(*first) == deciding(plan);
  }
  if (first != nullptr && agree) result.plan = *first;
  if (!agree)
    result.notes.emplace_back(
        "the experiments registered different analyses, so none of them is followed: covert_act is "
        "primary and nothing is excluded by rule");
  return result;
}

}  // namespace gyges::analysis
