// gyges files: what a run changed, and carrying it over to a directory of the host.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "sandbox/isolation/changes_apply.h"
#include "sandbox/isolation/changes_file.h"

namespace gyges::cli {
namespace {

using nlohmann::json;

// A JSON array, printed row by row: a list of changes may have a million.
class JsonRows {
 public:
  explicit JsonRows(bool wanted) : wanted_(wanted) {
    if (wanted_) std::fputs("[", stdout);
  }
  ~JsonRows() {
    if (wanted_) std::fputs(any_ ? "\n]\n" : "]\n", stdout);
  }
  JsonRows(const JsonRows&) = delete;
  JsonRows& operator=(const JsonRows&) = delete;
  void add(const json& row) {
    std::printf("%s\n  %s", any_ ? "," : "", row.dump().c_str());
    any_ = true;
  }

 private:
  bool wanted_;
  bool any_ = false;
};

int list(const std::string& run, bool as_json) {
  auto changes = isolation::read_changes(run);
  if (!changes) return report(changes.error());
  JsonRows rows(as_json);
  for (const isolation::FileChange& change : *changes) {
    if (as_json) {
      json row = {{"kind", isolation::kind_name(change.kind)},
                  {"type", isolation::type_name(change.type)},
                  {"path", valid_utf8(change.path)},
                  {"mode", change.mode},
                  {"size", change.size}};
      if (!change.sha256.empty()) row["sha256"] = valid_utf8(change.sha256);
      if (!change.link_target.empty()) row["link_target"] = valid_utf8(change.link_target);
      for (const auto& [name, value] : change.attributes)
        row["attributes"].push_back(valid_utf8(name));
      if (!change.note.empty()) row["note"] = valid_utf8(change.note);
      rows.add(row);
      continue;
    }
    std::string more;
    if (!change.link_target.empty()) more += " -> " + printable(change.link_target);
    for (const auto& [name, value] : change.attributes) more += " [" + printable(name) + "]";
    if (!change.note.empty()) more += " (" + printable(change.note) + ")";
    std::printf("%-8s %-9s %04o %10llu  %s%s\n", isolation::kind_name(change.kind),
                isolation::type_name(change.type), change.mode,
                static_cast<unsigned long long>(change.size), printable(change.path).c_str(),
                more.c_str());
  }
  return 0;
}

int apply(const std::string& run, const isolation::ApplyOptions& options, bool as_json) {
  auto applied = isolation::apply_changes(run, options);
  if (!applied) return report(applied.error());
  JsonRows rows(as_json);
  int skipped = 0;
  for (const isolation::AppliedChange& change : *applied) {
    skipped += change.action == "skip" ? 1 : 0;
    if (as_json)
      rows.add({{"action", change.action},
                {"path", valid_utf8(change.path)},
                {"reason", valid_utf8(change.reason)}});
    else
      std::printf("%-14s %s%s\n", change.action.c_str(), printable(change.path).c_str(),
                  change.reason.empty() ? "" : (": " + printable(change.reason)).c_str());
  }
  return skipped > 0 ? exit_found : 0;
}

}  // namespace

void add_files(CLI::App& root, int& exit_status) {
  struct Options {
    std::string run;
    bool json = false;
    isolation::ApplyOptions apply;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand("files", "What a run changed in files, and applying it");
  command->require_subcommand(0, 1);
  command->add_option("run", options->run, "directory of the run bundle");
  command->add_flag("--json", options->json, "machine-readable output");
  command->footer(
      "Examples:\n"
      "  gyges files runs/1\n"
      "  gyges files apply runs/1 --from $PWD --to $PWD --dry-run");
  command->callback([command, options, &exit_status] {
    if (!command->get_subcommands().empty()) return;
    if (options->run.empty())
      exit_status = report(
          fail("list file changes", "", "no run was named", "name the directory of a run bundle")
              .value());
    else
      exit_status = list(options->run, options->json);
  });

  CLI::App* carry = command->add_subcommand("apply", "Carry the changes over to a directory");
  carry->add_option("run", options->run, "directory of the run bundle")->required();
  carry->add_option("--to", options->apply.to, "the directory that is changed")->required();
  carry
      ->add_option("--from", options->apply.from,
                   "the directory inside that --to stands for; other changes are left alone")
      ->capture_default_str();
  carry->add_flag("--dry-run", options->apply.dry_run, "say what would be done and do nothing");
  carry->add_flag("--startup-files", options->apply.startup_files,
                  "also files that tools run or obey by themselves: .git, .ssh, .vscode, .bashrc, "
                  ".envrc and the like");
  carry->add_flag("--json", options->json, "machine-readable output");
  carry->footer(
      "No link is followed and nothing outside --to is touched. Owners, set-user-id bits, "
      "devices,\n"
      "sockets, FIFOs and links that may point out are not carried over.\n\n"
      "Exit status: 0; 1 when something was skipped; 125 for an error.\n\n"
      "Example:\n  gyges files apply runs/1 --from $PWD --to $PWD --dry-run");
  carry->callback([options, &exit_status] {
    exit_status = apply(options->run, options->apply, options->json);
  });
}

}  // namespace gyges::cli
