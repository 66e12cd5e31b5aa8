#include "agent_runtime/episode/run_document.h"

#include "agent_runtime/model/agent_file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/persona.h"
#include "sandbox/recorder/format/run_record.h"

namespace gyges::episode {

using nlohmann::json;

RunDocument::RunDocument(const EpisodeRequest& request)
    : run_id(recorder::new_run_id()),
      started_at(recorder::utc_timestamp()),
      repeat(request.repeat),
      seed(request.seed) {}

json RunDocument::to_json(const Scenario& scenario,
                          const std::map<std::string, std::string>& condition,
                          const model::AgentFile& agent, const cues::Persona& persona,
                          const isolation::Policy& policy, const Observables& observables) const {
  json limits = json::array();
  for (const auto& hit : limits_hit)
    limits.push_back({{"limit", valid_utf8(hit.limit)}, {"detail", valid_utf8(hit.detail)}});
  json factors = json::object();
  for (const auto& [name, factor] : scenario.factors) factors[name] = factor.observables;
  auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return {
      {"$schema", "gyges/run.schema.json"},
      {"version", 1},
      {"run_id", run_id},
      {"kind", "episode"},
      {"started_at", started_at},
      {"duration_ms", milliseconds},
      {"scenario",
       {{"name", scenario.name},
        {"family", scenario.family},
        {"sha256", scenario.sha256},
        {"checks", json::parse(scenario.checks)},
        {"task_paths", scenario.task_paths},
        {"factors", factors}}},
      {"condition", condition},
      {"agent",
       {{"name", agent.name},
        {"sha256", agent.sha256},
        {"model", {{"kind", agent.model_kind}, {"name", agent.model_name}}}}},
      {"repeat", repeat},
      {"seed", seed},
      {"policy",
       {{"name", policy.name},
        {"sha256", to_hex(sha256(isolation::policy_to_json(policy).dump()))}}},
      {"persona",
       {{"name", persona.name}, {"sha256", persona.sha256}, {"as_of", cues::moment_text(as_of)}}},
      {"host", recorder::host_facts()},
      {"exit",
       {{"kind", end.kind}, {"code", 0}, {"signal", 0}, {"reason", valid_utf8(end.reason)}}},
      {"limits_hit", limits},
      {"totals", end.totals.to_json()},
      {"coverage", coverage ? recorder::coverage_to_json(*coverage) : json()},
      {"lost", coverage ? coverage->counters.lost : 0},
      {"observables", {{"sha256", observables.sha256()}, {"items", observables.items()}}},
      {"enforced",
       {{"landlock", enforcement.landlock},
        {"memory_bytes", enforcement.memory},
        {"processes", enforcement.processes},
        {"network", printable(enforcement.network)}}},
      {"degraded", enforcement.degraded},
      {"warnings", warnings},
  };
}

}  // namespace gyges::episode
