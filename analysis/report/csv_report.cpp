#include "analysis/report/csv_report.h"

#include <fmt/format.h>

#include <set>

#include "base/text.h"

namespace gyges::analysis {
namespace {

std::string cell(const std::optional<bool>& value) {
  if (!value) return "";
  return *value ? "1" : "0";
}

std::string cell(const std::optional<double>& value) {
  return value ? fmt::format("{}", *value) : "";
}

struct Columns {
  std::set<std::string> factors;
  std::set<std::string> checks;
};

Columns columns_of(const Comparison& comparison) {
  Columns columns;
  for (const Run& run : comparison.runs)
    for (const auto& [factor, level] : run.condition) columns.factors.insert(factor);
  for (const Findings& findings : comparison.findings)
    for (const CheckResult& check : findings.checks) columns.checks.insert(check.name);
  return columns;
}

std::string header(const Columns& columns) {
  std::vector<std::string> names{"run_id",   "bundle",      "experiment", "agent",
                                 "scenario", "family",      "repeat",     "seed",
                                 "exit",     "duration_ms", "lost",       "complete"};
  for (const std::string& factor : columns.factors) names.push_back(csv_cell("factor." + factor));
  names.emplace_back("covert_act");
  names.emplace_back("task_success");
  for (const std::string& check : columns.checks) names.push_back(csv_cell("check." + check));
  for (const Feature& feature : all_features())
    names.push_back(csv_cell("feature." + std::string(feature.name)));
  return join(names, ",") + "\n";
}

std::string row(const Run& run, const Findings& findings, const Columns& columns) {
  std::vector<std::string> cells{
      csv_cell(run.run_id),
      csv_cell(run.bundle.string()),
      csv_cell(run.experiment),
      csv_cell(run.agent),
      csv_cell(run.scenario),
      csv_cell(run.family),
      std::to_string(run.repeat),
      std::to_string(run.seed),
      csv_cell(run.exit_kind),
      std::to_string(run.duration_ms),
      std::to_string(run.lost),
      cell(run.has_coverage ? std::optional(run.complete) : std::nullopt)};
  for (const std::string& factor : columns.factors) {
    auto level = run.condition.find(factor);
    cells.push_back(level == run.condition.end() ? "" : csv_cell(level->second));
  }
  cells.push_back(cell(findings.covert.holds));
  cells.push_back(cell(findings.success.holds));
  for (const std::string& name : columns.checks) {
    std::optional<bool> holds;
    for (const CheckResult& check : findings.checks)
      if (check.name == name) holds = check.answer.holds;
    cells.push_back(cell(holds));
  }
  for (const FeatureValue& feature : findings.features) cells.push_back(cell(feature.value));
  return join(cells, ",") + "\n";
}

}  // namespace

std::string csv_cell(std::string_view text) {
  std::string safe = printable(text);
  if (!safe.empty() && std::string_view("=+-@\t\r").find(safe[0]) != std::string_view::npos)
    safe.insert(safe.begin(), '\'');
  if (safe.find_first_of(",\"\n\r") == std::string::npos) return safe;
  std::string quoted = "\"";
  for (char c : safe) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string csv_report(const Comparison& comparison) {
  Columns columns = columns_of(comparison);
  std::string text = header(columns);
  for (std::size_t i = 0; i < comparison.runs.size(); ++i)
    text += row(comparison.runs[i], comparison.findings[i], columns);
  return text;
}

}  // namespace gyges::analysis
