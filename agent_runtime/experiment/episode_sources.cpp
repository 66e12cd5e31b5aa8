
#include "agent_runtime/episode/scenario.h"
#include "agent_runtime/experiment/sources.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::experiment {
namespace {

Result<ScenarioFacts> scenario_facts(const std::filesystem::path& beside, const std::string& name) {
  std::filesystem::path directory = beside / name;
  std::error_code error;
  if (!std::filesystem::is_regular_file(directory / "scenario.json", error)) {
    GYGES_TRY(directory, episode::find_scenario(name));
  }
  directory = std::filesystem::weakly_canonical(directory, error);
  if (error) return fail_errno("find scenario", name, error.value());
  GYGES_TRY(episode::Scenario scenario, episode::load_scenario(directory));
  return ScenarioFacts{directory, scenario.name, scenario.family, scenario.sha256};
}

Result<AgentFacts> agent_facts(const std::filesystem::path& beside, const ScenarioFacts& scenario,
                               const std::string& name) {
  std::filesystem::path file = beside / name;
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) {
    GYGES_TRY(file, episode::find_agent(scenario.directory, name));
  }
  file = std::filesystem::weakly_canonical(file, error);
  if (error) return fail_errno("find agent", name, error.value());
  GYGES_TRY(nlohmann::json document, load_json(file, "agent"));
  GYGES_TRY(Sha256 hash, sha256_of_file(file));
  return AgentFacts{file, document.at("name").get<std::string>(), to_hex(hash)};
}

}  // namespace

Sources episode_sources() {
  return {scenario_facts, agent_facts, episode::check_episode};
}

}  // namespace gyges::experiment
