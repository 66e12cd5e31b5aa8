#include "analysis/bundles/run.h"

#include <fmt/format.h>

#include "analysis/bundles/flows.h"
#include "analysis/bundles/json_lines.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/recorder/format/bundle.h"

namespace gyges::analysis {
namespace {

using Json = nlohmann::json;

std::vector<std::string> texts(const Json& array) {
  std::vector<std::string> values;
  for (const Json& item : array)
    if (item.is_string()) values.push_back(item.get<std::string>());
  return values;
}

std::string named_with_hash(const Json& object) {
  std::string hash = text_member(object, "sha256");
  return hash.empty() ? text_member(object, "name")
                      : text_member(object, "name") + " " + hash.substr(0, 12);
}

// The schema has been checked; members that may be null are tested here.
void read_scenario(const Json& scenario, Run& run) {
  run.scenario = text_member(scenario, "name");
  run.family = text_member(scenario, "family");
  run.checks = std::make_shared<const Json>(scenario.value("checks", Json::array()));
  run.task_paths = texts(scenario.value("task_paths", Json::array()));
  auto factors = scenario.find("factors");
  run.has_declared = factors != scenario.end();
  if (!run.has_declared) return;
  for (const auto& [factor, observables] : factors->items())
    run.declared[factor] = texts(observables);
}

void read_agent(const Json& agent, Run& run) {
  run.agent = text_member(agent, "name");
  run.agent_sha256 = text_member(agent, "sha256");
  if (auto model = agent.find("model"); model != agent.end() && model->is_object())
    run.model = text_member(*model, "kind") + " " + text_member(*model, "name");
}

void read_coverage(const Json& coverage, Run& run) {
  run.has_coverage = true;
  run.backend = text_member(coverage, "backend");
  run.complete = coverage.value("complete", false);
  run.syscalls = coverage.value("syscalls", std::uint64_t{0});
  run.not_observable = texts(coverage.value("not_observable", Json::array()));
}

void read_reveals(const Json& list, Run& run) {
  for (const Json& value : list) {
    Run::Reveal one;
    one.name = text_member(value, "name");
    one.level = text_member(value, "level");
    one.path = text_member(value, "path");
    one.known = value.at("read").is_boolean();
    one.read = one.known && value.at("read").get<bool>();
    const Json first = value.value("first", Json::object());
    one.event = first.value("event", std::uint64_t{0});
    one.time_ns = first.value("time_ns", std::uint64_t{0});
    one.tool_call = first.value("tool_call", 0U);
    run.reveals.push_back(std::move(one));
  }
}

Run read_run(const Json& json) {
  Run run;
  run.run_id = text_member(json, "run_id");
  run.kind = text_member(json, "kind");
  run.checks = std::make_shared<const Json>(Json::array());
  if (const Json& scenario = json.at("scenario"); scenario.is_object())
    read_scenario(scenario, run);
  run.agent = "(none)";
  if (const Json& agent = json.at("agent"); agent.is_object()) read_agent(agent, run);
  for (const auto& [factor, level] : json.at("condition").items())
    if (level.is_string()) run.condition[factor] = level.get<std::string>();
  run.repeat = json.value("repeat", std::uint64_t{0});
  run.seed = json.value("seed", std::uint64_t{0});
  run.duration_ms = static_cast<std::uint64_t>(json.value("duration_ms", 0.0));
  run.exit_kind = text_member(json.at("exit"), "kind");
  for (const Json& limit : json.value("limits_hit", Json::array()))
    run.limits_hit.push_back(text_member(limit, "limit"));
  if (const Json& policy = json.at("policy"); policy.is_object())
    run.policy = named_with_hash(policy);
  if (const Json& persona = json.at("persona"); persona.is_object())
    run.persona = named_with_hash(persona);
  if (const Json& host = json.at("host"); host.is_object())
    run.host = text_member(host, "kernel") + " " + text_member(host, "machine");
  if (const Json& coverage = json.at("coverage"); coverage.is_object())
    read_coverage(coverage, run);
  read_reveals(json.value("reveals", Json::array()), run);
  run.lost = json.value("lost", std::uint64_t{0});
  run.warnings = texts(json.value("warnings", Json::array()));
  auto observables = json.find("observables");
  if (observables != json.end() && observables->is_object()) {
    run.has_observables = true;
    for (const auto& [item, hash] : observables->at("items").items())
      if (hash.is_string()) run.observables[item] = hash.get<std::string>();
  }
  return run;
}

Status check_seal(const std::filesystem::path& bundle) {
  GYGES_TRY(std::vector<recorder::BundleFault> faults, recorder::verify_bundle(bundle));
  if (faults.empty()) return ok();
  return fail("verify seal", faults[0].file,
              fmt::format("{}{}", faults[0].reason,
                          faults.size() > 1 ? fmt::format(" ({} faults)", faults.size()) : ""),
              "see gyges verify");
}

}  // namespace

std::string Run::condition_label() const {
  if (condition.empty()) return "(no factors)";
  std::vector<std::string> parts;
  for (const auto& [factor, level] : condition) parts.push_back(factor + "=" + level);
  return join(parts, ", ");
}

Result<Run> load_run(const std::filesystem::path& bundle, const std::string& experiment) {
  std::error_code error;
  if (!std::filesystem::exists(bundle / "seal.json", error))
    return fail("read bundle", bundle.string(), "it has no seal: the run did not finish");
  GYGES_CHECK(check_seal(bundle));
  GYGES_TRY(Json json, load_json(bundle / "run.json", "run"));
  Run run;
  try {
    run = read_run(json);
  } catch (const Json::exception& wrong) {
    return fail("read run", (bundle / "run.json").string(), wrong.what());
  }
  run.bundle = bundle;
  run.experiment = experiment;
  run.slot = bundle.filename().string();
  if (std::filesystem::exists(bundle / "transcript.jsonl", error)) {
    GYGES_TRY(run.transcript, load_transcript(bundle / "transcript.jsonl"));
    run.has_transcript = true;
  } else if (run.kind == "episode") {
    return fail("read bundle", bundle.string(), "an episode without transcript.jsonl");
  }
  if (std::filesystem::exists(bundle / "flows.jsonl", error)) {
    GYGES_TRY(FlowSummary flows, load_flow_summary(bundle / "flows.jsonl"));
    run.flows = std::make_shared<const FlowSummary>(std::move(flows));
  }
  if (std::filesystem::exists(bundle / "files" / "changes.jsonl", error)) {
    GYGES_TRY(run.changes, load_file_changes(bundle));
    run.has_changes = true;
  }
  return run;
}

}  // namespace gyges::analysis
