#include "cli/experiment_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "agent_runtime/experiment/experiment.h"
#include "agent_runtime/experiment/open_experiment.h"
#include "analysis/bundles/find_bundles.h"
#include "analysis/bundles/run.h"
#include "analysis/comparison/registration.h"
#include "analysis/statistics/default_test.h"
#include "analysis/statistics/required_runs.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"

namespace gyges::cli {
namespace {

using nlohmann::json;

constexpr std::size_t sampled_runs = 64;

struct PlanOptions {
  std::string file;
  std::string from;  // directory with earlier runs, for the cost
  double power = 0.8;
  bool as_json = false;
};

// How many runs set one level of a factor against its first one, for one agent.
struct PlannedContrast {
  std::string factor;
  std::size_t levels = 0;
  bool paired = true;  // every run has a partner that differs in this factor alone
  analysis::StudyDesign design;
};

std::map<std::string, std::set<std::string>> levels_of(const experiment::Experiment& experiment) {
  std::map<std::string, std::set<std::string>> levels;
  for (const experiment::Condition& condition : experiment.conditions)
    for (const auto& [factor, level] : condition.levels) levels[factor].insert(level);
  return levels;
}

// Conditions at one level of the factor that have a partner at another with all else equal.
std::size_t partnered(const experiment::Experiment& experiment, const std::string& factor,
                      const std::string& level) {
  std::size_t count = 0;
  for (const experiment::Condition& one : experiment.conditions) {
    auto at = one.levels.find(factor);
    if (at == one.levels.end() || at->second != level) continue;
    count += std::any_of(experiment.conditions.begin(), experiment.conditions.end(),
                         [&](const experiment::Condition& other) {
                           auto rest = one.levels;
                           auto others = other.levels;
                           auto there = others.find(factor);
                           if (there == others.end() || there->second == level) return false;
                           rest.erase(factor);
                           others.erase(factor);
                           return rest == others;
                         });
  }
  return count;
}

std::vector<PlannedContrast> planned_contrasts(const experiment::Experiment& experiment,
                                               const analysis::AnalysisPlan& plan) {
  std::set<std::string> families;
  for (const experiment::ScenarioEntry& scenario : experiment.scenarios)
    families.insert(scenario.facts.family);
  std::vector<PlannedContrast> contrasts;
  for (const auto& [factor, levels] : levels_of(experiment)) {
    if (levels.size() < 2 || (plan.arms && plan.arms->factor == factor)) continue;
    PlannedContrast contrast;
    contrast.factor = factor;
    contrast.levels = levels.size();
    std::size_t smallest = experiment.conditions.size();
    for (const std::string& level : levels) {
      std::size_t here = 0;
      for (const experiment::Condition& condition : experiment.conditions) {
        auto at = condition.levels.find(factor);
        here += at != condition.levels.end() && at->second == level ? 1 : 0;
      }
      contrast.paired = contrast.paired && partnered(experiment, factor, level) == here;
      smallest = std::min(smallest, here);
    }
    // Control runs without the temptation are no part of the gap.
    if (plan.arms) smallest = std::max<std::size_t>(1, smallest / 2);
    contrast.design = {families.size(),
                       (experiment.scenarios.size() + families.size() - 1) / families.size(),
                       experiment.repeats * smallest,
                       plan.expected_first,
                       plan.expected_second,
                       plan.family_deviation,
                       plan.task_deviation,
                       plan.condition_deviation};
    contrasts.push_back(contrast);
  }
  return contrasts;
}

// Means over runs that are there already.
struct Cost {
  std::size_t runs = 0;
  double seconds = 0;
  double output_tokens = 0;
};

Result<Cost> cost_from(const std::string& directory) {
  GYGES_TRY(std::vector<analysis::FoundBundle> bundles, analysis::find_bundles(directory));
  Cost cost;
  std::size_t step = std::max<std::size_t>(1, bundles.size() / sampled_runs);
  for (std::size_t i = 0; i < bundles.size(); i += step) {
    Result<analysis::Run> run = analysis::load_run(bundles[i].bundle, bundles[i].experiment);
    if (!run) continue;  // a damaged run costs nothing; compare names it
    ++cost.runs;
    cost.seconds += static_cast<double>(run->duration_ms) / 1000;
    cost.output_tokens += static_cast<double>(run->transcript.output_tokens);
  }
  if (cost.runs == 0)
    return fail("estimate cost", directory, "holds no run that can be read",
                "give an experiment with finished runs");
  cost.seconds /= static_cast<double>(cost.runs);
  cost.output_tokens /= static_cast<double>(cost.runs);
  return cost;
}

json contrast_json(const PlannedContrast& contrast, const analysis::RequiredRuns& needed,
                   const analysis::DefaultAnalysis& chosen, double alpha) {
  auto or_null = [](const auto& value) { return value ? json(*value) : json(nullptr); };
  return {{"factor", contrast.factor},
          {"levels", contrast.levels},
          {"paired", contrast.paired},
          {"families", contrast.design.families},
          {"tasks_per_family", contrast.design.tasks},
          {"pairs", contrast.design.pairs()},
          {"pairs_per_task", contrast.design.repeats},
          {"test", chosen.test},
          {"scope", analysis::scope_name(chosen.scope)},
          {"why_this_test", chosen.why},
          {"level", alpha},
          {"power", needed.power},
          {"pairs_per_task_needed", or_null(needed.repeats)},
          {"families_needed", or_null(needed.families)},
          {"pairs_for_margin", or_null(needed.pairs_for_margin)}};
}

std::string contrast_text(const json& c, std::size_t repeats, double wanted) {
  std::string text = fmt::format(
      "{}: {} pairs for each agent and level (families {} x tasks {} x pairs {})\n"
      "  test      {} ({})\n"
      "  power     {:.2f} at level {:.4f}\n",
      printable(c.at("factor").get<std::string>()), c.at("pairs").get<std::size_t>(),
      c.at("families").get<std::size_t>(), c.at("tasks_per_family").get<std::size_t>(),
      c.at("pairs_per_task").get<std::size_t>(), c.at("test").get<std::string>(),
      c.at("why_this_test").get<std::string>(), c.at("power").get<double>(),
      c.at("level").get<double>());
  if (!c.at("pairs_per_task_needed").is_null()) {
    double factor =
        c.at("pairs_per_task_needed").get<double>() / c.at("pairs_per_task").get<double>();
    text += fmt::format(
        "  for {:.2f}  {} pairs for each task: repeats {}\n", wanted,
        c.at("pairs_per_task_needed").get<std::size_t>(),
        std::max<std::size_t>(
            1, static_cast<std::size_t>(std::ceil(factor * static_cast<double>(repeats)))));
  } else {
    text += fmt::format("  for {:.2f}  no number of repeats is enough: families differ too much\n",
                        wanted);
  }
  if (!c.at("families_needed").is_null())
    text += fmt::format("            or {} families with as many pairs each\n",
                        c.at("families_needed").get<std::size_t>());
  if (!c.at("pairs_for_margin").is_null())
    text += fmt::format("  no gap    {} pairs show it to be within the margin, if there is none\n",
                        c.at("pairs_for_margin").get<std::size_t>());
  if (!c.at("paired").get<bool>())
    text +=
        "  note      a fraction has no pairs that differ in one factor alone; power is that of as "
        "many pairs\n";
  return text;
}

std::string duration_text(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

Status print_plan(const PlanOptions& options) {
  GYGES_TRY(experiment::Experiment experiment,
            experiment::load_experiment(options.file, experiment::episode_sources()));
  analysis::AnalysisPlan plan;
  if (experiment.analysis) plan = analysis::analysis_plan(*experiment.analysis);
  std::vector<PlannedContrast> contrasts = planned_contrasts(experiment, plan);
  std::size_t adjusted_over = 0;
  for (const PlannedContrast& contrast : contrasts) adjusted_over += contrast.levels - 1;
  adjusted_over *= plan.primary.size();
  double alpha = 0.05 / static_cast<double>(std::max<std::size_t>(1, adjusted_over));
  std::size_t runs = experiment.scenarios.size() * experiment.agents.size() *
                     experiment.conditions.size() * experiment.repeats;
  json document{
      {"experiment", experiment.name},
      {"sha256", experiment::hash_of_resolved_form(experiment::resolved_form(experiment))},
      {"registers_analysis", experiment.analysis != nullptr},
      {"scenarios", experiment.scenarios.size()},
      {"agents", experiment.agents.size()},
      {"conditions", experiment.conditions.size()},
      {"repeats", experiment.repeats},
      {"runs", runs},
      {"primary", plan.primary},
      {"expected_rates", {plan.expected_first, plan.expected_second}},
      {"wanted_power", options.power},
      {"contrasts", json::array()},
      {"cost", nullptr}};
  for (const PlannedContrast& contrast : contrasts) {
    analysis::RequiredRuns needed =
        analysis::required_runs(contrast.design, options.power, alpha, plan.margin);
    // Any counts of this shape choose the same test.
    std::vector<analysis::PairedCounts> shape(
        contrast.design.families, {0, 0, 0, contrast.design.tasks * contrast.design.repeats});
    document["contrasts"].push_back(
        contrast_json(contrast, needed, *analysis::analyse_pairs(shape), alpha));
  }
  if (!options.from.empty()) {
    GYGES_TRY(Cost cost, cost_from(options.from));
    unsigned jobs = experiment.jobs.value_or(std::max(1U, std::thread::hardware_concurrency()));
    document["cost"] = {{"from", options.from},
                        {"sampled_runs", cost.runs},
                        {"seconds_per_run", cost.seconds},
                        {"output_tokens_per_run", cost.output_tokens},
                        {"jobs", jobs},
                        {"seconds", cost.seconds * static_cast<double>(runs) / jobs},
                        {"output_tokens", cost.output_tokens * static_cast<double>(runs)}};
  }
  if (options.as_json) {
    std::printf("%s\n", document.dump(2).c_str());
    return ok();
  }
  std::printf("%s: %zu scenarios x %zu agents x %zu conditions x %u repeats = %zu runs\n",
              experiment.name.c_str(), experiment.scenarios.size(), experiment.agents.size(),
              experiment.conditions.size(), experiment.repeats, runs);
  std::printf("analysis %s; would be registered as %s\n",
              experiment.analysis ? "as the file has it" : "not in the file, so the default",
              document["sha256"].get<std::string>().substr(0, 12).c_str());
  std::printf("looked for: %s from %.1f to %.1f %%\n\n",
              printable(join(plan.primary, ", ")).c_str(), 100 * plan.expected_first,
              100 * plan.expected_second);
  for (const json& contrast : document["contrasts"])
    std::printf("%s\n", contrast_text(contrast, experiment.repeats, options.power).c_str());
  if (contrasts.empty()) std::printf("no factor has two levels: there is nothing to compare\n");
  if (!document["cost"].is_null()) {
    const json& cost = document["cost"];
    std::printf(
        "cost: %s with %u jobs, %.0f output tokens (from %zu runs: %.1f s and %.0f tokens each)\n",
        duration_text(cost["seconds"].get<double>()).c_str(), cost["jobs"].get<unsigned>(),
        cost["output_tokens"].get<double>(), cost["sampled_runs"].get<std::size_t>(),
        cost["seconds_per_run"].get<double>(), cost["output_tokens_per_run"].get<double>());
  } else {
    std::printf("cost: unknown; --from DIR takes it from earlier runs\n");
  }
  return ok();
}

}  // namespace

void add_plan_command(CLI::App& parent, int& exit_status) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = parent.add_subcommand(
      "plan", "Runs that the wanted effect needs, by simulation, and their cost; runs nothing");
  command->add_option("FILE", options->file, "experiment file")->required();
  command->add_option("--power", options->power, "wanted power; 0.8 when absent")
      ->check(CLI::Range(0.5, 0.99));
  command->add_option("--from", options->from, "earlier runs, to tell time and tokens from");
  command->add_flag("--json", options->as_json, "print it as JSON");
  command->footer(
      "Example:\n"
      "  gyges experiment plan scenarios/log_retention/demo.experiment.json --from out/demo");
  command->callback([options, &exit_status] {
    Status status = print_plan(*options);
    exit_status = status ? 0 : report(status.error());
  });
}

}  // namespace gyges::cli
