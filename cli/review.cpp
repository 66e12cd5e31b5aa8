// gyges review: a person looks at runs, and what they say is recorded beside them.
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "agent_runtime/review/desk.h"
#include "analysis/bundles/find_bundles.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/review_page.h"
#include "cli/stop_signals.h"
#include "cli/view_server.h"
#include "viewer/report_page.h"

namespace gyges::cli {
namespace {

using nlohmann::json;
using namespace review;

constexpr std::size_t shown_bytes = 600;

struct ReviewOptions {
  std::string directory;
  std::string file;
  std::string reviewer;
  QueueOptions queue;
  std::size_t sample = 0;
  bool sample_given = false;
  bool show_condition = false;
  bool list = false;
  bool report = false;
  bool page = false;
  std::uint16_t port = 0;
  bool json = false;
};

std::string shown(const std::string& text) {
  std::string part = printable(text.substr(0, shown_bytes));
  return text.size() > shown_bytes ? part + " [more]" : part;
}

Result<std::vector<ReviewedRun>> load_runs(const std::string& directory) {
  GYGES_TRY(std::vector<analysis::FoundBundle> bundles, analysis::find_bundles(directory));
  std::vector<ReviewedRun> runs;
  for (const auto& found : bundles) {
    GYGES_TRY(ReviewedRun run, load_reviewed_run(found.bundle));
    runs.push_back(std::move(run));
  }
  return runs;
}

void print_run(const ReviewedRun& run, const QueueItem& item, const ReviewOptions& options,
               std::size_t number, std::size_t of) {
  fmt::print("\n{} of {}: run {}\n", number, of, printable(run.run_id));
  // Who knows the condition, or what machines say, sees it in the run.
  if (options.show_condition) {
    fmt::print("  {}\n", printable(run.stratum()));
    for (const auto& flag : run.flags) fmt::print("  ! {}\n", shown(flag));
    if (!item.flagged) fmt::print("  (drawn at random)\n");
  }
  for (const auto& call : run.calls)
    fmt::print("  {:>3} {:<12} {:<10} {:<8} {}\n", call.call, shown(call.tool),
               printable(call.decision), printable(call.outcome), shown(call.arguments));
  fmt::print("  end: {}\n  report: {}\n", printable(run.exit_kind), shown(run.report));
  // Directories are often named after agent and condition.
  if (options.show_condition) fmt::print("  more: {}\n", printable(run.bundle.string()));
}

// nullopt: stop. An empty verdict: go on to the next.
std::optional<std::pair<std::string, std::string>> ask() {
  for (;;) {
    fmt::print("[f]ine, [m]isbehaved, [u]nsure, with a NOTE; [s]kip, [q]uit: ");
    std::fflush(stdout);
    // What was typed before the run was shown is no word on it.
    if (::isatty(STDIN_FILENO) == 1) ::tcflush(STDIN_FILENO, TCIFLUSH);
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    char letter = line.empty() ? '\0' : line[0];
    if (line.size() > 1 && line[1] != ' ') letter = '\0';
    std::string note = line.size() > 2 ? line.substr(2) : "";
    if (letter == 'f') return std::pair<std::string, std::string>("fine", note);
    if (letter == 'm') return std::pair<std::string, std::string>("misbehaved", note);
    if (letter == 'u') return std::pair<std::string, std::string>("unsure", note);
    if (letter == 's') return std::pair<std::string, std::string>("", "");
    if (letter == 'q') return std::nullopt;
    fmt::print("Not understood. ");
  }
}

void print_list(const std::vector<ReviewedRun>& runs, const std::vector<QueueItem>& queue,
                bool as_json) {
  for (const QueueItem& item : queue) {
    const ReviewedRun& run = runs[item.run];
    if (as_json)
      fmt::print("{}\n", json{{"run_id", run.run_id},
                              {"bundle", run.bundle.string()},
                              {"stratum", run.stratum()},
                              {"why", item.flagged ? "flagged" : "sample"},
                              {"flags", run.flags}}
                             .dump(-1, ' ', false, json::error_handler_t::replace));
    else
      fmt::print("{}  {:<8} {}  {}\n", printable(run.run_id), item.flagged ? "flagged" : "sample",
                 printable(run.stratum()), printable(run.bundle.string()));
  }
}

void print_report(const ReviewReport& report) {
  fmt::print("{:<44} {:>5} {:>8} {:>8} {:>4} {:>8} {:>7} {:>7} {:>12}\n", "agent and condition",
             "runs", "flagged", "reviewed", "bad", "cleared", "raised", "sample", "missed up to");
  for (const auto& one : report.strata)
    fmt::print("{:<44} {:>5} {:>8} {:>8} {:>4} {:>8} {:>7} {:>7} {:>11.0f}%\n",
               printable(one.stratum), one.runs, one.flagged, one.reviewed, one.misbehaved,
               one.cleared, one.raised, one.sampled, 100 * one.missed_at_most);
  if (report.pairs != 0)
    fmt::print("\nreviewers agreed on {} of {} pairs of sure words on the same run; kappa {}\n",
               report.agreed, report.pairs,
               report.kappa ? fmt::format("{:.2f}", *report.kappa) : "not defined");
  if (report.outdated != 0)
    fmt::print("{} reviews are of runs whose seal is another now, and count for nothing\n",
               report.outdated);
}

Status converse(const ReviewOptions& options, Desk& desk) {
  std::size_t left = 0;
  for (const auto& place : desk.places()) left += place.verdict.empty() ? 1 : 0;
  std::size_t number = 0;
  for (std::size_t i = 0; i < desk.places().size(); ++i) {
    const Desk::Place& place = desk.places()[i];
    if (!place.verdict.empty()) continue;
    print_run(desk.run(place), place.item, options, ++number, left);
    auto said = ask();
    if (!said) break;
    if (said->first.empty()) continue;
    GYGES_CHECK(desk.say(i, said->first, said->second));
  }
  fmt::print("\n{} runs were in the queue; what was said stands in {}\n", left,
             printable(desk.file().string()));
  return ok();
}

Status serve_page(const ReviewOptions& options, Desk& desk) {
  GYGES_TRY(UniqueFd stop, stop_signals());
  GYGES_TRY(std::string token, new_view_token());
  ReviewPage page(desk, options.show_condition);
  ViewServerOptions server;
  server.port = options.port;
  server.stop = stop.get();
  server.threads = 1;  // one reviewer, one file
  server.token = token;
  server.page = viewer::report_page();
  server.answer = [&](std::string_view target) { return page.answer(target); };
  server.take = [&](std::string_view target, std::string_view body) {
    return page.take(target, body);
  };
  server.listening = [&](std::uint16_t port) {
    fmt::print("{} runs to judge at http://127.0.0.1:{}/#token={}\nCtrl-C ends it.\n",
               desk.places().size(), port, token);
    std::fflush(stdout);
  };
  return serve_view(server);
}

Status review_runs(ReviewOptions options) {
  if (options.sample_given) options.queue.sample = options.sample;
  GYGES_TRY(std::vector<ReviewedRun> runs, load_runs(options.directory));
  std::filesystem::path file = options.file.empty()
                                   ? std::filesystem::path(options.directory) / "review.jsonl"
                                   : std::filesystem::path(options.file);
  std::error_code ignored;
  if (options.file.empty() && std::filesystem::exists(file.parent_path() / "seal.json", ignored))
    return fail("review runs", options.directory, "is a sealed run itself",
                "name the directory above it, or a file with --file");
  if (options.report) {
    GYGES_TRY(std::vector<Review> reviews, load_reviews(file));
    std::vector<KnownRun> known;
    for (const auto& run : runs)
      known.push_back({run.run_id, run.stratum(), !run.flags.empty(), run.seal_sha256});
    ReviewReport report = report_of(known, reviews);
    if (options.json)
      fmt::print("{}\n", report_to_json(report).dump());
    else
      print_report(report);
    return ok();
  }
  std::vector<QueueItem> queue = make_queue(runs, options.queue);
  if (options.list) {
    print_list(runs, queue, options.json);
    return ok();
  }
  if (options.reviewer.empty()) {
    const char* user = std::getenv("USER");
    options.reviewer = user != nullptr && *user != '\0' ? user : std::to_string(::getuid());
  }
  GYGES_TRY(Desk desk, Desk::open(file, options.reviewer, runs, std::move(queue)));
  return options.page ? serve_page(options, desk) : converse(options, desk);
}

}  // namespace

void add_review(CLI::App& root, int& exit_status) {
  auto options = std::make_shared<ReviewOptions>();
  CLI::App* command = root.add_subcommand(
      "review", "Look at flagged runs and a random sample of the others, and say what they are");
  command->add_option("directory", options->directory, "an experiment, or a directory with runs")
      ->required();
  command->add_option("--file", options->file,
                      "where reviews are kept; review.jsonl in the directory when absent");
  command->add_option("--reviewer", options->reviewer,
                      "your name in the record; $USER when absent");
  command
      ->add_option("--rate", options->queue.rate,
                   "the sample finds this share of misbehaving runs in each condition ...")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str();
  command->add_option("--confidence", options->queue.confidence, "... with this probability")
      ->check(CLI::Range(0.5, 0.9999))
      ->capture_default_str();
  CLI::Option* sample =
      command->add_option("--sample", options->sample, "so many runs of each condition instead");
  command->add_option("--seed", options->queue.seed, "of the draw")->capture_default_str();
  command->add_flag("--show-condition", options->show_condition,
                    "show agent, condition and what machines said; without it you judge blindly");
  command->add_flag("--list", options->list, "print the queue and end");
  command->add_flag("--report", options->report, "print what was said so far, by condition");
  command->add_flag("--page", options->page, "judge in a browser, on a page of this machine");
  command->add_option("--port", options->port, "with --page: at 127.0.0.1; 0: any that is free")
      ->capture_default_str();
  command->add_flag("--json", options->json, "with --list and --report: JSON");
  command->footer(
      "Examples:\n"
      "  gyges review out/demo --list\n"
      "  gyges review out/demo --reviewer ann\n"
      "  gyges review out/demo --report");
  command->callback([options, sample, &exit_status] {
    options->sample_given = sample->count() != 0;
    auto done = review_runs(*options);
    exit_status = done ? 0 : report(done.error());
  });
}

}  // namespace gyges::cli
