// gyges run: one command, isolated and recorded.
#include "cli/run.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <string_view>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/degraded_option.h"
#include "cli/open_recorder.h"
#include "cli/record_place.h"
#include "cli/seal_key_option.h"
#include "cli/working_directory.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/run/command_run.h"

namespace gyges::cli {
namespace {

struct RunCommand {
  std::string policy = "default";
  std::string persona;
  std::string recorder;
  std::string out;
  std::string workspace;
  std::uint64_t seed = 0;
  std::vector<std::string> allow_degraded;
  bool quiet = false;
  bool tty = false;
  bool no_tty = false;
  std::vector<std::string> command;
};

// <time>-<program> where records go by default.
Result<std::filesystem::path> default_out(const std::string& program) {
  GYGES_TRY(std::filesystem::path base, default_records());
  std::string time = recorder::utc_timestamp();
  std::replace(time.begin(), time.end(), ':', '-');
  std::string name = std::filesystem::path(program).filename().string();
  std::erase_if(name, [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_'; });
  return base / (time + "-" + name + "-" + recorder::new_run_id().substr(0, 4));
}

Result<int> run(const RunCommand& options) {
  run::CommandRunRequest request;
  GYGES_TRY(request.policy, isolation::load_policy(options.policy));
  if (!options.persona.empty()) request.persona = options.persona;
  request.seed = options.seed;
  request.argv = options.command;
  request.process_ends = true;
  request.allow_degraded = options.allow_degraded;
  GYGES_TRY(request.workspace, working_directory(options.workspace));
  request.streams.input = STDIN_FILENO;
  request.streams.output = STDOUT_FILENO;
  request.streams.error = STDERR_FILENO;
  bool at_terminal = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
  request.streams.terminal = options.tty || (at_terminal && !options.no_tty);
  std::string choice =
      options.recorder.empty() ? request.policy.recorder.backend : options.recorder;
  bool bundle_wanted = choice != "off" || !options.out.empty();
  if (bundle_wanted) {
    if (options.out.empty()) {
      GYGES_TRY(request.out, default_out(options.command.front()));
    } else {
      request.out = options.out;
    }
  }
  // Before the recorder makes its threads, which must not take them.
  run::hold_forwarded_signals();
  std::future<void> loading;
  if (bundle_wanted) loading = run::load_ahead();
  recorder::RecorderOptions recorder_options;
  recorder_options.ring_bytes = request.policy.recorder.ring_bytes;
  recorder_options.io_uring = isolation::may_use_io_uring(request.policy);
  const std::unique_ptr<recorder::Recorder> recorder =
      open_recorder_ahead(choice, recorder_options);
  if (!options.quiet)
    for (const std::string& grant : request.policy.grants)
      std::fprintf(stderr, "gyges: warning: the policy states the dangerous grant %s\n",
                   printable(grant).c_str());
  const char* home = std::getenv("HOME");
  if (!options.quiet && home != nullptr && request.workspace == home &&
      request.policy.filesystem.workspace != isolation::Filesystem::Workspace::none)
    std::fprintf(stderr,
                 "gyges: warning: the working directory is your home: the command can read all of "
                 "it, keys and histories too; use --workspace DIR\n");
  GYGES_TRY(run::CommandRunOutcome outcome, run::run_command(request, recorder.get()));
  if (!options.quiet) {
    if (!outcome.end.start_error.empty())
      std::fprintf(stderr, "gyges: start %s: %s\n", quoted(options.command.front()).c_str(),
                   outcome.end.start_error.c_str());
    for (const auto& hit : outcome.limits_hit)
      std::fprintf(stderr, "gyges: limit hit: %s (%s)\n", hit.limit.c_str(), hit.detail.c_str());
    for (const std::string& warning : outcome.warnings)
      std::fprintf(stderr, "gyges: warning: %s\n", printable(warning).c_str());
    if (bundle_wanted && options.out.empty())
      std::fprintf(stderr, "gyges: record: %s\n", printable(request.out.string()).c_str());
  }
  return outcome.end.signal != 0 ? 128 + outcome.end.signal : outcome.end.exit_code;
}

}  // namespace

// Under a persona pid 1 has other arguments, and help needs none.
void begin_run(int argc, char** argv) {
  for (int i = 2; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "-h" || argument == "--help" || argument.starts_with("--persona")) return;
  }
  isolation::Sandbox::start_ahead();
}

void add_run(CLI::App& root, int& exit_status) {
  auto options = std::make_shared<RunCommand>();
  CLI::App* command = root.add_subcommand("run", "Run one command in a sandbox and record it");
  command->add_option("--policy", options->policy, "name of a preset, or path of a policy file")
      ->capture_default_str();
  command->add_option("--persona", options->persona,
                      "the machine the command sees: a shipped persona or a manifest's path");
  command
      ->add_option(
          "--seed", options->seed,
          "decides the names, dates and contents that the persona generates: the same seed, "
          "the same machine")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 53U));
  add_seal_key_option(*command);
  command->add_option("--recorder", options->recorder, recorder_help)
      ->check(CLI::IsMember({"auto", "ebpf", "ptrace", "off"}));
  command->add_option("--out", options->out,
                      "directory of the run bundle; it must not exist or be empty (default: below "
                      "$XDG_STATE_HOME/gyges/runs)");
  command->add_option("--workspace", options->workspace,
                      "directory that the command works in (default: the current one)");
  add_degraded_option(*command, options->allow_degraded);
  auto* tty = command->add_flag(
      "--tty", options->tty,
      "give the command a terminal of its own (default: when input and output are one)");
  command->add_flag("--no-tty", options->no_tty, "pass its streams through pipes in any case")
      ->excludes(tty);
  command->add_flag("--quiet,-q", options->quiet, "print nothing of our own but errors");
  command->add_option("command", options->command, "the program and its arguments, after --")
      ->required();
  command->footer(
      "The command sees the host's programs read-only and the working directory below a private\n"
      "writable layer: what it changes there is collected in the bundle and stays off the host.\n\n"
      "Exit status: the command's; 128 + signal; 125 for an error of gyges itself;\n"
      "126 and 127 when the program could not be started.\n\n"
      "Examples:\n"
      "  gyges run -- make test\n"
      "  gyges run --policy default --out runs/1 -- python3 script.py\n"
      "  gyges trace show runs/1");
  command->callback([options, &exit_status] {
    auto status = run(*options);
    exit_status = status ? *status : report(status.error());
  });
}

}  // namespace gyges::cli
