// gyges export: runs in forms that other frameworks read.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "analysis/interchange/inspect_export.h"
#include "analysis/interchange/trajectories.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/findings_file.h"

namespace gyges::cli {
namespace {

struct ExportOptions {
  std::string format;
  std::vector<std::string> directories;
  std::string out;
  bool skip_unfit = false;
  analysis::InspectExportOptions inspect;
};

Result<std::vector<analysis::StoredRun>> runs_of(const ExportOptions& options) {
  std::vector<analysis::FoundBundle> bundles;
  for (const std::string& directory : options.directories) {
    GYGES_TRY(std::vector<analysis::FoundBundle> found, analysis::find_bundles(directory));
    bundles.insert(bundles.end(), found.begin(), found.end());
  }
  std::unique_ptr<analysis::FindingsStore> store = open_findings_store();
  auto read = analysis::read_runs(bundles, {store.get(), 0, {}});
  std::vector<analysis::StoredRun> runs;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (*read[i]) {
      runs.push_back(std::move(**read[i]));
      continue;
    }
    if (!options.skip_unfit)
      return tl::unexpected<Error>(
          (std::move(*read[i]).with_context("export " + bundles[i].bundle.string())).error());
    std::fprintf(stderr, "gyges: left out: %s: %s\n", printable(bundles[i].bundle.string()).c_str(),
                 printable(read[i]->error().line()).c_str());
  }
  return runs;
}

Status run_export(const ExportOptions& options) {
  GYGES_TRY(std::vector<analysis::StoredRun> runs, runs_of(options));
  if (runs.empty()) return fail("export", options.directories[0], "no run is fit to be exported");
  if (options.format == "eval") {
    GYGES_TRY(analysis::InspectExport done,
              analysis::export_inspect(runs, options.out, options.inspect));
    std::printf("%zu runs in %zu logs\n", done.samples, done.files.size());
    return ok();
  }
  GYGES_CHECK(options.format == "atif" ? analysis::export_atif(runs, options.out)
                                       : analysis::export_control_arena(runs, options.out));
  std::printf("%zu runs\n", runs.size());
  return ok();
}

}  // namespace

void add_export_command(CLI::App& root, int& exit_status) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = root.add_subcommand(
      "export", "Write runs for other tools: Inspect logs, ATIF, ControlArena trajectories");
  command->add_option("FORMAT", options->format, "eval, atif or control-arena")
      ->required()
      ->check(CLI::IsMember({"eval", "atif", "control-arena"}));
  command
      ->add_option("DIR", options->directories,
                   "experiment directories, directories with run bundles, or bundles")
      ->required();
  command->add_option("--out", options->out, "directory that the files are written to")->required();
  command
      ->add_option("--syscalls", options->inspect.syscalls_of_a_call,
                   "system calls shown in the span of each tool call (eval); all are counted")
      ->capture_default_str();
  command->add_flag("--skip-unfit", options->skip_unfit,
                    "leave unfit bundles out, naming them, instead of stopping");
  command->footer(
      "Traces alone: `gyges trace export` (JSONL, SQLite, Perfetto). Tables: `gyges compare "
      "--csv`,\n"
      "`gyges query --save`.\n\n"
      "Examples:\n"
      "  gyges export eval out/demo --out logs && inspect view --log-dir logs\n"
      "  gyges export atif out/demo --out trajectories");
  command->callback([options, &exit_status] {
    Status status = run_export(*options);
    exit_status = status ? 0 : report(status.error());
  });
}

}  // namespace gyges::cli
