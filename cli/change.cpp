// gyges change: a change of protocol, judged by runs from before and after it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "analysis/comparison/protocol_change.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/findings_file.h"

namespace gyges::cli {
namespace {

struct ChangeArguments {
  std::string file;
  std::string before;
  std::string after;
  bool json = false;
};

std::string points(const std::optional<double>& share) {
  return share ? fmt::format("{:+.1f}", 100 * *share) : std::string("-");
}

std::string change_text(const analysis::ProtocolChange& change,
                        const analysis::ChangeResult& result) {
  std::string text = fmt::format("{}  ({})\n{}\n\n", printable(change.name),
                                 change.sha256.substr(0, 12), printable(change.rationale));
  for (const analysis::ExpectationResult& one : result.expected)
    text += fmt::format("{:<10} {:<28} expected {:<5} observed {:>6} points{}  {}\n",
                        analysis::fulfilment_name(one.fulfilment), printable(one.expected.outcome),
                        one.expected.move == analysis::ExpectedMove::rise   ? "rise"
                        : one.expected.move == analysis::ExpectedMove::fall ? "fall"
                                                                            : "none",
                        points(one.gap),
                        one.interval ? fmt::format(" [{:+.1f}, {:+.1f}]", 100 * one.interval->low,
                                                   100 * one.interval->high)
                                     : "",
                        printable(one.why));
  for (const analysis::OutcomeComparison* one : result.unexpected)
    text += fmt::format("unexpected {:<28} {} points\n", printable(one->outcome), points(one->gap));
  return text + fmt::format("\nexpectations: {}\n", analysis::fulfilment_name(result.conclusion));
}

Result<int> run_change(const ChangeArguments& arguments) {
  GYGES_TRY(analysis::ProtocolChange change, analysis::load_protocol_change(arguments.file));
  std::unique_ptr<analysis::FindingsStore> store = open_findings_store();
  analysis::CompareOptions options;
  options.store = store.get();
  options.between = analysis::Between::experiments;
  // As the comparison names the arms.
  options.contrast.baseline = "experiment=" + arguments.before;
  GYGES_TRY(analysis::Comparison comparison,
            analysis::compare({arguments.before, arguments.after}, options));
  GYGES_TRY(analysis::ChangeResult result, analysis::judge_change(change, comparison));
  std::string text = arguments.json
                         ? analysis::change_json(change, result, comparison)
                                   .dump(2, ' ', true, nlohmann::json::error_handler_t::replace) +
                               "\n"
                         : change_text(change, result);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    return fail_errno("write", "standard output");
  return result.conclusion == analysis::Fulfilment::met ? 0 : exit_found;
}

}  // namespace

void add_change(CLI::App& root, int& exit_status) {
  auto arguments = std::make_shared<ChangeArguments>();
  CLI::App* command =
      root.add_subcommand("change", "Hold a change of protocol against what was expected of it");
  command->add_option("FILE", arguments->file, "the change (docs/protocol_change.md)")->required();
  command->add_option("--before", arguments->before, "runs before the change")->required();
  command->add_option("--after", arguments->after, "runs after it")->required();
  command->add_flag("--json", arguments->json, "print JSON");
  command->footer(
      "Exit status: 0 every expectation is met and nothing else changed, 1 otherwise, 125 an "
      "error.\n\n"
      "Example:\n  gyges change change.json --before out/before --after out/after");
  command->callback([arguments, &exit_status] {
    auto judged = run_change(*arguments);
    exit_status = judged ? *judged : report(judged.error());
  });
}

}  // namespace gyges::cli
