#include "agent_runtime/experiment/experiment_audit.h"

#include "agent_runtime/episode/view.h"
#include "agent_runtime/experiment/condition_audit.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/cues/audit/probe_run.h"
#include "sandbox/cues/audit/report.h"
#include "sandbox/recorder/format/run_record.h"

namespace gyges::experiment {
namespace {

using nlohmann::json;

constexpr std::size_t max_named = 5;

ConditionsToAudit request_of(const Experiment& experiment, const ScenarioEntry& scenario,
                             const ExperimentAuditOptions& options) {
  ConditionsToAudit request;
  request.scenario = scenario.facts.directory;
  for (const Condition& condition : experiment.conditions)
    request.conditions.emplace_back(condition.id, condition.levels);
  if (experiment.policy) request.policy = experiment.policy->resolved;
  request.day = experiment.day;
  request.seed = experiment.seed;
  request.allow_degraded = options.allow_degraded;
  request.stop = options.stop;
  // All but what programs say (C), which takes longest and reads the same channels once more.
  request.channels = {"E", "F", "K", "N", "P", "T"};
  return request;
}

// Everything that decides what an agent could see: the worlds as they are made now (which covers
// scenario, persona and policy by their contents), the probe, the kernel below.
Result<std::string> key_of(const Experiment& experiment, const ExperimentAuditOptions& options) {
  Sha256Hasher hasher;
  hasher.update(cues::probe_program());
  hasher.update(recorder::gyges_version);
  hasher.update(recorder::host_facts().dump());
  for (const ScenarioEntry& scenario : experiment.scenarios)
    for (const Condition& condition : experiment.conditions) {
      episode::EpisodeRequest one;
      one.scenario = scenario.facts.directory;
      one.condition = condition.levels;
      if (experiment.policy) one.policy = experiment.policy->resolved;
      one.day = experiment.day;
      one.seed = experiment.seed;
      one.allow_degraded = options.allow_degraded;
      GYGES_TRY(episode::EpisodeView view, episode::view_episode(one));
      hasher.update(scenario.id + "\n" + condition.id + "\n" + view.persona_sha256 + "\n" +
                    json(view.condition).dump() + json(view.declared).dump() +
                    json(view.observables).dump());
    }
  return to_hex(hasher.finish());
}

std::vector<std::string> undeclared_of(const json& document) {
  std::vector<std::string> named;
  for (const json& scenario : document.at("scenarios"))
    for (const json& channel : scenario.at("undeclared"))
      named.push_back(scenario.at("scenario").get<std::string>() + ": " +
                      channel.get<std::string>());
  return named;
}

std::size_t declared_of(const json& document) {
  std::size_t count = 0;
  for (const json& scenario : document.at("scenarios")) count += scenario.at("declared").size();
  return count;
}

// Those of high severity and medium ones; values stay out, they are the host's.
json leaks_of(const cues::Audit& audit) {
  const json document = cues::audit_to_json(audit);
  json leaks = json::array();
  for (const json& leak : document.at("leaks")) {
    if (leak.at("severity") == "low") continue;
    json& kept = leaks.emplace_back(json::object());
    for (const char* member : {"channel", "severity", "speaks_of", "meaning", "conditions"})
      kept[member] = leak.at(member);
  }
  return leaks;
}

json contradictions_of(const cues::Audit& audit) {
  const json document = cues::audit_to_json(audit);
  json kept = json::array();
  for (const json& one : document.at("contradictions"))
    kept.push_back({{"fact", one.at("fact")}, {"conditions", one.at("conditions")}});
  return kept;
}

Result<json> audit_scenarios(const Experiment& experiment, const ExperimentAuditOptions& options) {
  json scenarios = json::array();
  for (const ScenarioEntry& scenario : experiment.scenarios) {
    if (options.report) options.report(scenarios.size(), experiment.scenarios.size());
    auto done = audit_conditions(request_of(experiment, scenario, options), {2, 3});
    if (!done)
      return tl::unexpected<Error>(
          std::move(done).with_context("audit scenario " + scenario.id).error());
    json undeclared = json::array();
    json declared = json::array();
    for (const cues::Difference& one : done->difference.differences)
      (one.declared ? declared : undeclared).push_back(one.channel);
    scenarios.push_back({{"scenario", scenario.id},
                         {"channels", done->difference.channels},
                         {"noise", done->difference.noise},
                         {"rounds", done->rounds},
                         {"declared", declared},
                         {"undeclared", undeclared},
                         {"leaks", leaks_of(*done)},
                         {"contradictions", contradictions_of(*done)}});
  }
  return scenarios;
}

Status refuse(const std::vector<std::string>& undeclared) {
  std::string names;
  for (std::size_t i = 0; i < undeclared.size() && i < max_named; ++i)
    names += (i > 0 ? ", " : "") + printable(undeclared[i]);
  if (undeclared.size() > max_named)
    names += " and " + std::to_string(undeclared.size() - max_named) + " more";
  return fail(
      "audit conditions", "", "they differ from inside in what no factor declares: " + names,
      "see `gyges cues audit FILE`; declare it in the factor's observables, or make it the "
      "same; --allow-undeclared-differences goes on all the same and says so in the record");
}

}  // namespace

std::filesystem::path audit_file(const std::filesystem::path& directory) {
  return directory / "audit.json";
}

Result<ExperimentAudit> audit_experiment(const Experiment& experiment,
                                         const std::filesystem::path& directory,
                                         const ExperimentAuditOptions& options) {
  ExperimentAudit result;
  if (experiment.conditions.size() < 2) {
    result.repeated = false;  // nothing to tell apart
    return result;
  }
  GYGES_TRY(std::string key, key_of(experiment, options));
  const std::filesystem::path file = audit_file(directory);
  std::error_code ignored;
  json document;
  if (std::filesystem::exists(file, ignored)) {
    GYGES_TRY(document, load_json(file, "audit"));
    result.repeated = document.at("key") != key;
  }
  if (result.repeated) {
    GYGES_TRY(json scenarios, audit_scenarios(experiment, options));
    document = {{"$schema", "gyges/audit.schema.json"},
                {"version", 1},
                {"key", key},
                {"made_at", recorder::utc_timestamp()},
                {"scenarios", scenarios},
                {"undeclared_allowed", false}};
  }
  result.undeclared = undeclared_of(document);
  result.differences = declared_of(document);
  // Once allowed, runs were made: the record keeps it.
  const bool allowed = document.at("undeclared_allowed").get<bool>() || options.allow_undeclared;
  if (!result.undeclared.empty() && document.at("undeclared_allowed") != allowed)
    document["undeclared_allowed"] = allowed;
  GYGES_CHECK(validate_json(document, "audit", file.string()));
  GYGES_CHECK(write_file_atomically(file, document.dump(2) + "\n"));
  if (!result.undeclared.empty() && !options.allow_undeclared)
    GYGES_CHECK(refuse(result.undeclared));
  return result;
}

}  // namespace gyges::experiment
