#include "agent_runtime/experiment/record.h"

#include <chrono>

#include "agent_runtime/experiment/directory.h"
#include "agent_runtime/experiment/plan.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/recorder/format/run_record.h"

namespace gyges::experiment {
namespace {

using nlohmann::json;

constexpr std::size_t max_named_differences = 5;
constexpr std::size_t max_value_text = 80;

std::string plan_hash(const Experiment& experiment) {
  Sha256Hasher hasher;
  for (const Slot& slot : make_plan(experiment))
    hasher.update(slot.name + " " + std::to_string(slot.seed) + "\n");
  return to_hex(hasher.finish());
}

Result<std::optional<json>> read_document(const std::filesystem::path& directory) {
  const std::filesystem::path file = record_file(directory);
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return std::nullopt;
  GYGES_TRY(json document, load_json(file, "experiment_record"));
  if (document.at("sha256") != json(hash_of_resolved_form(document.at("experiment"))))
    return fail("read", file.string(), "its hash does not fit its text: the record was edited",
                "restore the record; runs that were made under it cannot be continued otherwise");
  return document;
}

Record record_of(const json& document) {
  return {document.at("sha256"), document.at("created_at"),
          document.at("source").get<std::string>(), document.at("experiment").at("day")};
}

std::string short_text(const json& value) {
  std::string text = value.dump();
  if (text.size() > max_value_text) text = text.substr(0, max_value_text - 3) + "...";
  return printable(text);
}

// "/repeats: 12 -> 20, /agents/0/sha256/x: ..."
std::string differences(const json& before, const json& after) {
  std::vector<std::string> named;
  json patch = json::diff(before, after);
  for (const json& change : patch) {
    if (named.size() == max_named_differences) {
      named.push_back("and " + std::to_string(patch.size() - named.size()) + " more");
      break;
    }
    auto path = change.at("path").get<std::string>();
    // "/-" stands for the place after the end of an array.
    if (path.ends_with("/-")) {
      path.pop_back();
      path += std::to_string(before.at(json::json_pointer(path.substr(0, path.size() - 1))).size());
    }
    json::json_pointer pointer(path);
    std::string text = printable(path) + ": ";
    text += before.contains(pointer) ? short_text(before.at(pointer)) : "absent";
    text += " -> ";
    text += change.contains("value") ? short_text(change.at("value")) : "absent";
    named.push_back(text);
  }
  return join(named, ", ");
}

}  // namespace

Result<std::optional<Record>> read_record(const std::filesystem::path& directory) {
  GYGES_TRY(std::optional<json> document, read_document(directory));
  if (!document) return std::nullopt;
  return record_of(*document);
}

Result<Experiment> registered_experiment(const std::filesystem::path& directory) {
  GYGES_TRY(std::optional<json> document, read_document(directory));
  if (!document)
    return fail("read experiment", directory.string(), "has no experiment.json",
                "give the directory of an experiment");
  const json& resolved = document->at("experiment");
  Experiment experiment;
  experiment.source = document->at("source").get<std::string>();
  experiment.name = resolved.at("name");
  experiment.description = resolved.at("description");
  for (const json& scenario : resolved.at("scenarios"))
    experiment.scenarios.push_back(
        {scenario.at("id"),
         scenario.at("scenario"),
         {{}, scenario.at("id"), scenario.at("family"), scenario.at("sha256")}});
  for (const json& agent : resolved.at("agents")) {
    AgentEntry entry{agent.at("id"), agent.at("agent"), {}};
    for (const ScenarioEntry& scenario : experiment.scenarios)
      entry.facts.push_back({{}, entry.id, agent.at("sha256").value(scenario.id, std::string())});
    experiment.agents.push_back(std::move(entry));
  }
  for (const json& condition : resolved.at("conditions"))
    experiment.conditions.push_back({condition.at("id"), condition.at("levels")});
  if (resolved.contains("analysis"))
    experiment.analysis = std::make_shared<const json>(resolved.at("analysis"));
  experiment.repeats = resolved.at("repeats");
  experiment.seed = resolved.at("seed");
  experiment.day = resolved.at("day");
  experiment.limits.episode =
      std::chrono::seconds(resolved.at("limits").at("episode_seconds").get<std::int64_t>());
  experiment.limits.attempts = resolved.at("limits").at("attempts");
  return experiment;
}

Result<Record> register_experiment(const std::filesystem::path& directory,
                                   const Experiment& experiment) {
  const json resolved = resolved_form(experiment);
  GYGES_TRY(std::optional<json> before, read_document(directory));
  if (before) {
    if (before->at("experiment") != resolved)
      return fail("continue experiment", directory.string(),
                  "was registered as another experiment; changed since: " +
                      differences(before->at("experiment"), resolved),
                  "undo the change, or run the changed experiment in a new directory");
    if (before->at("plan_sha256") != plan_hash(experiment))
      return fail("continue experiment", directory.string(),
                  "this version of Gyges plans other runs than the one that registered it",
                  "continue with the version that is named in experiment.json");
    return record_of(*before);
  }
  json document{{"$schema", "gyges/experiment_record.schema.json"},
                {"version", 1},
                {"sha256", hash_of_resolved_form(resolved)},
                {"plan_sha256", plan_hash(experiment)},
                {"created_at", recorder::utc_timestamp()},
                {"gyges", recorder::gyges_version},
                {"source", experiment.source.string()},
                {"experiment", resolved}};
  GYGES_CHECK(validate_json(document, "experiment_record", "the record"));
  GYGES_CHECK(write_file_atomically(record_file(directory), document.dump(2) + "\n"));
  return record_of(document);
}

}  // namespace gyges::experiment
