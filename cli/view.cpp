// gyges view: the report as a live page, whose episodes are read when they are opened.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "analysis/comparison/comparison.h"
#include "analysis/episode/episode.h"
#include "analysis/episode/shown_text.h"
#include "analysis/report/html_report.h"
#include "analysis/report/packed_text.h"
#include "analysis/report/report_json.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/findings_file.h"
#include "cli/report_extras.h"
#include "cli/stop_signals.h"
#include "cli/view_server.h"
#include "viewer/report_page.h"

namespace gyges::cli {
namespace {

struct ViewArguments {
  std::vector<std::string> directories;
  std::uint16_t port = 0;
  bool no_cache = false;
  analysis::CompareOptions options;
};

ViewAnswer refusal(unsigned status, std::string why) {
  return {status, std::move(why), "text/plain; charset=utf-8", false};
}

// The comparison as it was last read, and what is asked of it. Thread-safe.
class ViewedRuns {
 public:
  explicit ViewedRuns(const ViewArguments& arguments)
      : arguments_(arguments), store_(arguments.no_cache ? nullptr : open_findings_store()) {}

  Status read() {
    std::vector<std::filesystem::path> directories(arguments_.directories.begin(),
                                                   arguments_.directories.end());
    analysis::CompareOptions options = arguments_.options;
    options.store = store_.get();
    GYGES_TRY(analysis::Comparison comparison, analysis::compare(directories, options));
    nlohmann::json report = analysis::report_json_with_timeline(comparison);
    GYGES_TRY(nlohmann::json extras, report_extras(arguments_.directories));
    report.update(extras);
    report["served"] = true;
    for (nlohmann::json& run : report["runs"]) run["episode"] = true;
    report = analysis::printable_texts(std::move(report));
    GYGES_TRY(std::string packed, analysis::gzip(analysis::json_text(report, -1)));
    auto seen = std::make_shared<const Seen>(Seen{std::move(comparison), std::move(packed)});
    std::scoped_lock lock(mutex_);
    seen_ = std::move(seen);
    return ok();
  }

  ViewAnswer answer(std::string_view target) {
    if (target == "/api/report?fresh=1") {
      // The others go on with what was read before; so does this one when it fails.
      std::unique_lock reading(reading_, std::try_to_lock);
      if (!reading) return refusal(503, "The runs are being read again already.");
      if (Status again = read(); !again) return refusal(500, printable(again.error().line()));
      return {200, seen()->report, "application/json", true};
    }
    if (target == "/api/report") return {200, seen()->report, "application/json", true};
    constexpr std::string_view episode = "/api/episode/";
    if (target.starts_with(episode)) return this->episode(target.substr(episode.size()));
    return refusal(404, "There is no such thing.");
  }

  [[nodiscard]] std::size_t runs() { return seen()->comparison.runs.size(); }

 private:
  struct Seen {
    analysis::Comparison comparison;
    std::string report;
  };

  std::shared_ptr<const Seen> seen() {
    std::scoped_lock lock(mutex_);
    return seen_;
  }

  // "17?run=0123456789abcdef": the number within the report, and whose it has to be.
  ViewAnswer episode(std::string_view asked) {
    std::shared_ptr<const Seen> seen = this->seen();
    const analysis::Comparison& comparison = seen->comparison;
    std::size_t index = 0;
    const char* end = asked.data() + asked.size();
    auto number = std::from_chars(asked.data(), end, index);
    std::string_view rest(number.ptr, static_cast<std::size_t>(end - number.ptr));
    if (number.ec != std::errc() || index >= comparison.runs.size())
      return refusal(404, "There is no such run.");
    const analysis::Run& run = comparison.runs[index];
    if (rest != "?run=" + run.run_id)
      return refusal(409, "The runs were read again since. Reload the page.");
    Result<std::string> packed = analysis::gzip(
        analysis::load_episode(run, comparison.findings[index], analysis::on_demand_limits));
    if (!packed) return refusal(500, printable(packed.error().line()));
    return {200, std::move(*packed), "application/json", true};
  }

  const ViewArguments& arguments_;
  std::unique_ptr<analysis::FindingsStore> store_;
  std::mutex reading_;  // of read(), once there are threads
  std::mutex mutex_;    // of what follows
  std::shared_ptr<const Seen> seen_;
};

Status view(const ViewArguments& arguments) {
  GYGES_TRY(UniqueFd stop, stop_signals());
  ViewedRuns runs(arguments);
  GYGES_CHECK(runs.read());
  GYGES_TRY(std::string token, new_view_token());
  ViewServerOptions server;
  server.port = arguments.port;
  server.stop = stop.get();
  server.token = token;
  server.page = viewer::report_page();
  server.answer = [&](std::string_view target) { return runs.answer(target); };
  server.listening = [&](std::uint16_t port) {
    fmt::print("{} runs at http://127.0.0.1:{}/#token={}\nCtrl-C ends it.\n", runs.runs(), port,
               token);
    std::fflush(stdout);
  };
  return serve_view(server);
}

}  // namespace

void add_view(CLI::App& root, int& exit_status) {
  auto arguments = std::make_shared<ViewArguments>();
  CLI::App* command = root.add_subcommand(
      "view", "Show the report as a page of this machine, with every episode behind it");
  command
      ->add_option("DIR", arguments->directories,
                   "experiment directories, directories with run bundles, or bundles")
      ->required();
  command->add_option("--port", arguments->port, "port at 127.0.0.1; 0: any that is free")
      ->capture_default_str();
  command->add_option("--baseline", arguments->options.contrast.baseline,
                      "level that the others are set against, as LEVEL or FACTOR=LEVEL");
  command->add_flag("--aa", arguments->options.contrast.same_condition,
                    "compare repeats of the same condition");
  command->add_flag("--allow-undeclared", arguments->options.allow_undeclared,
                    "compare in spite of differences that no factor declares, and say so");
  command->add_flag("--no-cache", arguments->no_cache,
                    "hash and read every bundle; neither use nor keep findings");
  command->footer(
      "Listens at 127.0.0.1 only. The address that it prints ends in a token: without it nothing "
      "of\n"
      "the runs is given away. \"Read again\" on the page takes in runs that have ended since.\n\n"
      "Exit status: 0 when ended by Ctrl-C, SIGTERM or SIGHUP; 125 for an error.\n\n"
      "Example:\n  gyges view out/demo");
  command->callback([arguments, &exit_status] {
    Status status = view(*arguments);
    exit_status = status ? 0 : report(status.error());
  });
}

}  // namespace gyges::cli
