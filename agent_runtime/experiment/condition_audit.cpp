#include "agent_runtime/experiment/condition_audit.h"

#include <set>

#include "agent_runtime/episode/scenario.h"
#include "agent_runtime/episode/view.h"
#include "sandbox/cues/audit/probe_run.h"
#include "sandbox/cues/text_template.h"

namespace gyges::experiment {
namespace {

using episode::EpisodeView;

// The factors whose level is not the same.
std::set<std::string> declared_between(const EpisodeView& a, const EpisodeView& b) {
  std::set<std::string> items;
  for (const auto& [factor, level] : a.condition) {
    auto other = b.condition.find(factor);
    if (other != b.condition.end() && other->second == level) continue;
    if (auto found = a.declared.find(factor); found != a.declared.end())
      items.insert(found->second.begin(), found->second.end());
  }
  return items;
}

// What no probe can read: prompts, tools, the policy's text.
std::map<std::string, std::string> told(const EpisodeView& view) {
  std::map<std::string, std::string> items;
  for (const auto& [name, hash] : view.observables)
    if (name.starts_with("prompt/") || name.starts_with("tool:") || name == "policy")
      items[name] = hash;
  return items;
}

}  // namespace

Result<std::vector<std::pair<std::string, std::map<std::string, std::string>>>> single_changes(
    const std::filesystem::path& directory) {
  GYGES_TRY(episode::Scenario scenario, episode::load_scenario(directory));
  std::vector<std::pair<std::string, std::map<std::string, std::string>>> conditions;
  conditions.push_back({"default", {}});
  for (const auto& [name, factor] : scenario.factors)
    for (const auto& [level, text] : factor.levels)
      if (level != factor.default_level)
        conditions.push_back({name + "=" + level, {{name, level}}});
  return conditions;
}

Result<cues::Audit> audit_conditions(const ConditionsToAudit& request,
                                     const cues::AuditOptions& options) {
  std::vector<EpisodeView> views;
  std::set<std::string> files;
  const std::string day = request.day.value_or(cues::moment_text(cues::this_minute()));
  for (const auto& [name, levels] : request.conditions) {
    episode::EpisodeRequest one;
    one.scenario = request.scenario;
    one.condition = levels;
    one.policy = request.policy;
    one.day = day;
    one.seed = request.seed;
    one.allow_degraded = request.allow_degraded;
    auto view = episode::view_episode(one);
    if (!view)
      return tl::unexpected<Error>(std::move(view).with_context("audit condition " + name).error());
    for (const isolation::SeedFile& file : view->sandbox.seed) files.insert(file.path);
    views.push_back(std::move(*view));
  }
  cues::ProbeRequest probe;
  probe.arguments = request.channels;
  for (const std::string& path : files)
    if (probe.arguments.size() < request.channels.size() + max_world_files)
      probe.arguments.push_back("file:" + path);
  std::vector<cues::ConditionToAudit> conditions;
  for (std::size_t i = 0; i < views.size(); ++i) {
    cues::ConditionToAudit condition;
    condition.name = request.conditions[i].first;
    condition.claim = request.claim.value_or(cues::Claim::nothing);
    if (const auto& claims = views[i].claims; claims && !request.claim)
      condition.claim = cues::claim_from_detectors(claims->vm, claims->container);
    condition.told = told(views[i]);
    condition.read = [&view = views[i], &probe, &request]() -> Result<std::string> {
      if (request.stop && request.stop())
        return fail("audit conditions", "", "was asked to stop", "start it again");
      return cues::probe_sandbox({view.sandbox, view.environment, view.directory}, request.recorder,
                                 probe);
    };
    conditions.push_back(std::move(condition));
  }
  return cues::audit(
      conditions,
      [&](std::size_t a, std::size_t b) { return declared_between(views[a], views[b]); }, options);
}

}  // namespace gyges::experiment
