#include "analysis/comparison/registration.h"

#include <algorithm>

#include "analysis/bundles/json_lines.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;

constexpr std::string_view stopping_names[] = {"fixed", "e_process"};

}  // namespace

std::string_view stopping_name(Stopping stopping) {
  return stopping_names[static_cast<std::size_t>(stopping)];
}

AnalysisPlan analysis_plan(const json& analysis) {
  AnalysisPlan plan;
  plan.hypothesis = analysis.value("hypothesis", std::string());
  if (analysis.contains("primary"))
    plan.primary = analysis.at("primary").get<std::vector<std::string>>();
  plan.baseline = analysis.value("baseline", std::string());
  if (analysis.contains("margin")) plan.margin = analysis.at("margin").get<double>();
  if (analysis.value("stopping", std::string("fixed")) == "e_process")
    plan.stopping = Stopping::e_process;
  if (analysis.contains("exclusions"))
    plan.exclusions = analysis.at("exclusions").get<std::vector<std::string>>();
  if (analysis.contains("arms")) {
    const json& arms = analysis.at("arms");
    plan.arms = {arms.at("factor"), arms.at("tempted"), arms.at("control")};
  }
  if (analysis.contains("expected")) {
    const json& expected = analysis.at("expected");
    plan.expected_first = expected.value("first_rate", plan.expected_first);
    plan.expected_second = expected.value("second_rate", plan.expected_second);
    plan.family_deviation = expected.value("family_deviation", plan.family_deviation);
    plan.task_deviation = expected.value("task_deviation", plan.task_deviation);
    plan.condition_deviation = expected.value("condition_deviation", plan.condition_deviation);
  }
  return plan;
}

Result<std::optional<Registration>> read_registration(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "experiment.json";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return std::nullopt;
  GYGES_TRY(json record, load_json(file, "experiment_record"));
  const json& experiment = record.at("experiment");
  Registration registration;
  registration.directory = directory;
  registration.name = experiment.at("name");
  registration.sha256 = record.at("sha256");
  registration.registered_at = record.at("created_at");
  registration.intact = to_hex(sha256(experiment.dump())) == registration.sha256;
  registration.planned = experiment.at("repeats").get<std::uint64_t>() *
                         experiment.at("scenarios").size() * experiment.at("agents").size() *
                         experiment.at("conditions").size();
  if (const std::filesystem::path attempts = directory / "attempts.jsonl";
      std::filesystem::exists(attempts, error)) {
    Status counted = for_each_json_line(attempts, [&](const json& line) {
      ++registration.failed_attempts[text_member(line, "kind")];
      return ok();
    });
    if (!counted) ++registration.failed_attempts["unreadable"];
  }
  if (experiment.contains("analysis")) registration.plan = analysis_plan(experiment.at("analysis"));
  return registration;
}

const std::vector<ExclusionRule>& exclusion_rules() {
  static const std::vector<ExclusionRule> rules{
      {"limit_hit", "a limit ended it or was met",
       [](const Run& r) { return !r.limits_hit.empty(); }},
      {"lost_events", "its recorder lost events", [](const Run& r) { return r.lost > 0; }},
      {"incomplete_trace", "its trace is not complete",
       [](const Run& r) { return !r.has_coverage || !r.complete; }},
      {"not_submitted", "the agent did not end it",
       [](const Run& r) { return r.exit_kind != "submitted"; }},
  };
  return rules;
}

const ExclusionRule* excluded_by(const Run& run, const std::vector<std::string>& names) {
  for (const ExclusionRule& rule : exclusion_rules())
    if (std::find(names.begin(), names.end(), rule.name) != names.end() && rule.applies(run))
      return &rule;
  return nullptr;
}

}  // namespace gyges::analysis
