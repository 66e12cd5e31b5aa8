// gyges compare: the comparison between conditions, as text, JSON and HTML.
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "analysis/comparison/comparison.h"
#include "analysis/report/csv_report.h"
#include "analysis/report/html_report.h"
#include "analysis/report/report_json.h"
#include "analysis/report/text_report.h"
#include "base/files.h"
#include "base/json.h"
#include "base/output_file.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/findings_file.h"
#include "cli/report_extras.h"

namespace gyges::cli {
namespace {

struct CompareArguments {
  std::vector<std::string> directories;
  bool json = false;
  bool all = false;
  std::string html;
  std::string csv;
  std::string between = "levels";
  std::string outcome;
  bool no_cache = false;
  analysis::CompareOptions options;
};

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) return size.ws_col;
  return 120;
}

bool wants_colour() {
  return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
}

// A line that overwrites itself, on a terminal only.
void show_progress(std::size_t done, std::size_t all) {
  std::fprintf(stderr, "\rreading runs: %zu of %zu%s", done, all, done == all ? "\r\x1b[K" : "");
}

Status keep_outcome(nlohmann::json& report, const std::string& outcome) {
  nlohmann::json kept = nlohmann::json::array();
  std::vector<std::string> known;
  for (const nlohmann::json& comparison : report.at("comparisons")) {
    std::string name = comparison.at("outcome").get<std::string>();
    if (name == outcome) kept.push_back(comparison);
    if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
  }
  if (kept.empty() && !known.empty())
    return fail("compare", outcome, "there is no such outcome", "one of " + join(known, ", "));
  report["comparisons"] = std::move(kept);
  return ok();
}

analysis::Between between_of(const std::string& name) {
  if (name == "agents") return analysis::Between::agents;
  if (name == "experiments") return analysis::Between::experiments;
  if (name == "models") return analysis::Between::models;
  if (name == "policies") return analysis::Between::policies;
  return analysis::Between::levels;
}

Status run_compare(const CompareArguments& arguments) {
  analysis::CompareOptions options = arguments.options;
  options.between = between_of(arguments.between);
  if (::isatty(STDERR_FILENO) == 1) options.progress = show_progress;
  std::vector<std::filesystem::path> directories(arguments.directories.begin(),
                                                 arguments.directories.end());
  std::unique_ptr<analysis::FindingsStore> store =
      arguments.no_cache ? nullptr : open_findings_store();
  options.store = store.get();
  GYGES_TRY(analysis::Comparison comparison, analysis::compare(directories, options));
  if (store != nullptr && !store->problem().empty()) warn_findings_not_kept(store->problem());
  nlohmann::json report;  // only where somebody asks for it: it takes seconds for thousands of runs
  if (arguments.json || !arguments.outcome.empty()) report = analysis::report_json(comparison);
  if (!arguments.outcome.empty()) GYGES_CHECK(keep_outcome(report, arguments.outcome));
  if (!arguments.html.empty()) {
    GYGES_TRY(nlohmann::json extras, report_extras(arguments.directories));
    GYGES_TRY(std::string page, analysis::html_report(comparison, {}, extras));
    GYGES_CHECK(write_output_file(arguments.html, page));
  }
  if (!arguments.csv.empty())
    GYGES_CHECK(write_output_file(arguments.csv, analysis::csv_report(comparison)));
  std::string text;
  if (arguments.json) {
    text = analysis::json_text(report, 2) + "\n";
  } else {
    analysis::TextOptions text_options;
    text_options.colour = wants_colour();
    text_options.width = terminal_width();
    text_options.outcome = arguments.outcome;
    text_options.all_outcomes = arguments.all;
    text = analysis::text_report(comparison, text_options);
    if (!arguments.html.empty()) text += "Report: " + printable(arguments.html) + "\n";
    if (!arguments.csv.empty()) text += "Runs: " + printable(arguments.csv) + "\n";
  }
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    return fail_errno("write", "standard output");
  return ok();
}

}  // namespace

void add_compare(CLI::App& root, int& exit_status) {
  auto arguments = std::make_shared<CompareArguments>();
  CLI::App* command = root.add_subcommand(
      "compare", "Compare runs between conditions: rates, gap, interval, test, covert acts");
  command
      ->add_option("DIR", arguments->directories,
                   "experiment directories, directories with run bundles, bundles, or logs of "
                   "Inspect (.eval)")
      ->required();
  command->add_flag("--json", arguments->json, "print JSON (docs/comparison.md)");
  command->add_option("--html", arguments->html, "write the report to this file");
  command->add_option("--csv", arguments->csv,
                      "write one row a run with factors, checks and features to this file");
  command->add_option("--outcome", arguments->outcome, "show this outcome alone");
  command->add_option("--baseline", arguments->options.contrast.baseline,
                      "level that the others are set against, as LEVEL or FACTOR=LEVEL");
  command
      ->add_option("--between", arguments->between,
                   "set agents, experiments, models or policies against each other, not levels")
      ->check(CLI::IsMember({"levels", "agents", "experiments", "models", "policies"}));
  command->add_flag("--aa", arguments->options.contrast.same_condition,
                    "compare repeats of the same condition: how large gaps come from chance");
  command->add_flag("--allow-undeclared", arguments->options.allow_undeclared,
                    "compare in spite of differences that no factor declares, and say so");
  command->add_flag("--no-cache", arguments->no_cache,
                    "hash and read every bundle; neither use nor keep findings");
  command->add_flag("--all", arguments->all, "print every check and feature");
  command->footer(
      "Bundles that are unfit (damaged, edited, lost events) are left out and named.\n\n"
      "Exit status: 0; 125 for an error. A gap is a result and no error.\n\n"
      "Examples:\n"
      "  gyges compare out/demo --html report.html\n"
      "  gyges compare out/demo --outcome covert_act --baseline oversight=announced\n"
      "  gyges compare out/demo --aa");
  command->callback([arguments, &exit_status] {
    Status status = run_compare(*arguments);
    exit_status = status ? 0 : report(status.error());
  });
}

}  // namespace gyges::cli
