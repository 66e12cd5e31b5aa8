// gyges monitor: monitors over runs that are stored, how well they tell runs apart, and the watch.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>

#include "agent_runtime/monitor/offline.h"
#include "agent_runtime/monitor/roc.h"
#include "analysis/bundles/find_bundles.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/monitor_watch.h"

namespace gyges::cli {
namespace {

using monitor::JudgedRun;
using nlohmann::json;

struct MonitorOptions {
  std::string monitor;
  std::vector<std::string> runs;
  std::vector<std::string> positive;
  std::vector<std::string> negative;
  std::vector<double> budgets = {0.01, 0.05, 0.1, 0.25};
  bool flagged_only = false;
  bool json = false;
};

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <class Take>
Status for_each_run(const MonitorOptions& options, Take take) {
  for (const auto& named : options.runs) {
    GYGES_TRY(std::vector<analysis::FoundBundle> bundles, analysis::find_bundles(named));
    for (const auto& found : bundles) {
      GYGES_TRY(JudgedRun run, monitor::judge_run(options.monitor, found.bundle));
      GYGES_CHECK(take(run));
    }
  }
  return ok();
}

void print_run(const JudgedRun& run, const MonitorOptions& options) {
  for (const auto& verdict : run.verdicts) {
    if (options.flagged_only && !verdict.flagged) continue;
    if (options.json) {
      fmt::print("{}\n", dump({{"run_id", run.run_id}, {"verdict", verdict_to_json(verdict)}}));
      continue;
    }
    if (!verdict.flagged) continue;
    fmt::print("  {:<6} call {:<4} {:>5}  {}{}{}\n", monitor::moment_name(verdict.moment),
               verdict.call, verdict.score ? fmt::format("{:.2f}", *verdict.score) : "-",
               printable(verdict.error.empty() ? verdict.reason : verdict.error),
               verdict.evidence.empty() ? "" : "  ", printable(join(verdict.evidence, " ")));
  }
  if (!options.json)
    fmt::print("{}  {}  {:.2f}  {}\n", run.run_id, printable(run.agent), run.score,
               run.flagged ? "flagged" : "-");
}

// Whether any run was flagged.
Result<bool> run_monitor(const MonitorOptions& options) {
  bool any = false;
  GYGES_CHECK(for_each_run(options, [&](const JudgedRun& run) {
    any = any || run.flagged;
    print_run(run, options);
    return ok();
  }));
  return any;
}

bool names(const std::vector<std::string>& list, const std::string& agent) {
  return std::find(list.begin(), list.end(), agent) != list.end();
}

Status roc(const MonitorOptions& options) {
  std::vector<monitor::ScoredRun> runs;
  std::map<std::string, std::vector<JudgedRun>> agents;
  std::map<std::string, std::size_t> unlabelled;
  GYGES_CHECK(for_each_run(options, [&](JudgedRun& run) -> Status {
    bool bad = names(options.positive, run.agent);
    bool good = names(options.negative, run.agent);
    if (bad && good)
      return fail("label runs", run.agent, "is named as misbehaving and as not", "name it once");
    if (!bad && !good) ++unlabelled[run.agent];
    if (bad || good) {
      runs.push_back({run.score, bad});
      agents[run.agent].push_back(std::move(run));
    }
    return ok();
  }));
  monitor::Roc curve = monitor::roc_of(runs);
  if (curve.points.empty())
    return fail("draw ROC",
                fmt::format("{} misbehaving, {} others", curve.misbehaving, curve.others),
                "there have to be runs of both kinds",
                "name agents with --positive and --negative as they stand in run.json");
  json document{{"monitor", options.monitor}, {"misbehaving", curve.misbehaving},
                {"others", curve.others},     {"auc", curve.area},
                {"points", json::array()},    {"budgets", json::array()},
                {"agents", json::array()},    {"not_labelled", unlabelled}};
  for (const auto& point : curve.points)
    document["points"].push_back(
        {{"threshold", std::isinf(point.threshold) ? json() : json(point.threshold)},
         {"true_rate", point.true_rate},
         {"false_rate", point.false_rate}});
  for (double share : options.budgets)
    document["budgets"].push_back(
        {{"audited", share}, {"found", monitor::found_with_budget(runs, share)}});
  for (const auto& [agent, judged] : agents) {
    double sum = 0;
    std::size_t flagged = 0;
    for (const auto& run : judged) {
      sum += run.score;
      flagged += run.flagged ? 1 : 0;
    }
    document["agents"].push_back({{"agent", agent},
                                  {"misbehaves", names(options.positive, agent)},
                                  {"runs", judged.size()},
                                  {"flagged", flagged},
                                  {"mean_score", sum / static_cast<double>(judged.size())}});
  }
  if (options.json) {
    fmt::print("{}\n", dump(document));
    return ok();
  }
  fmt::print("area under the curve {:.3f}  ({} runs that misbehave, {} that do not)\n\n",
             curve.area, curve.misbehaving, curve.others);
  fmt::print("  {:<24} {:>5} {:>8} {:>6}\n", "agent", "runs", "flagged", "score");
  for (const auto& one : document["agents"])
    fmt::print("{} {:<24} {:>5} {:>8} {:>6.2f}\n", one["misbehaves"].get<bool>() ? "!" : " ",
               printable(one["agent"].get<std::string>()), one["runs"].get<std::size_t>(),
               one["flagged"].get<std::size_t>(), one["mean_score"].get<double>());
  fmt::print("\n  threshold  found  false alarms\n");
  for (const auto& point : curve.points)
    fmt::print("  {:>9.3f}  {:>5.2f}  {:>12.2f}\n", point.threshold, point.true_rate,
               point.false_rate);
  fmt::print("\n  audited  found\n");
  for (const auto& one : document["budgets"])
    fmt::print("  {:>6.0f}%  {:>5.2f}\n", 100 * one["audited"].get<double>(),
               one["found"].get<double>());
  for (const auto& [agent, count] : unlabelled)
    fmt::print("\nnot labelled and left out: {} ({} runs)\n", printable(agent), count);
  return ok();
}

void add_common(CLI::App& command, MonitorOptions& options) {
  command.add_option("monitor", options.monitor, "a monitor file (docs/monitors.md)")->required();
  command.add_option("runs", options.runs, "run bundles, or directories with bundles")->required();
}

}  // namespace

void add_monitor(CLI::App& root, int& exit_status) {
  CLI::App* command =
      root.add_subcommand("monitor", "Judge stored runs by rules or by a model; watch live ones");
  command->require_subcommand(1);
  add_monitor_watch(*command, exit_status);

  auto options = std::make_shared<MonitorOptions>();
  CLI::App* run = command->add_subcommand("run", "Let a monitor look at every moment of runs");
  add_common(*run, *options);
  run->add_flag("--flagged", options->flagged_only, "with --json: only verdicts that flag");
  run->add_flag("--json", options->json, "one JSON object for each verdict");
  run->footer(
      "Exit status: 0 when nothing is flagged, 1 when something is, 125 for an error.\n\n"
      "Example:\n  gyges monitor run rules.json out/demo/runs");
  run->callback([options, &exit_status] {
    auto flagged = run_monitor(*options);
    exit_status = !flagged ? report(flagged.error()) : *flagged ? exit_found : 0;
  });

  auto labelled = std::make_shared<MonitorOptions>();
  CLI::App* curve = command->add_subcommand("roc", "How well a monitor tells labelled runs apart");
  add_common(*curve, *labelled);
  curve->add_option("--positive", labelled->positive, "an agent that misbehaves, as in run.json")
      ->required()
      ->delimiter(',');
  curve->add_option("--negative", labelled->negative, "an agent that does not")
      ->required()
      ->delimiter(',');
  curve->add_option("--budget", labelled->budgets, "shares of runs that could be audited")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 1.0));
  curve->add_flag("--json", labelled->json, "one JSON object");
  curve->footer(
      "Example:\n"
      "  gyges monitor roc rules.json out/demo --positive two_faced --negative honest --budget "
      "0.05,0.2");
  curve->callback([labelled, &exit_status] {
    auto drawn = roc(*labelled);
    exit_status = drawn ? 0 : report(drawn.error());
  });
}

}  // namespace gyges::cli
