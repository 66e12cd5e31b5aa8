#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "agent_runtime/experiment/experiment_audit.h"
#include "agent_runtime/experiment/local_executor.h"
#include "agent_runtime/experiment/open_experiment.h"
#include "agent_runtime/experiment/runner.h"
#include "agent_runtime/experiment/slurm_commands.h"
#include "agent_runtime/experiment/slurm_executor.h"
#include "agent_runtime/experiment/status.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/degraded_option.h"
#include "cli/experiment_plan.h"
#include "cli/experiment_progress.h"
#include "cli/experiment_worker.h"
#include "cli/open_recorder.h"
#include "cli/seal_key_option.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/run_record.h"

namespace gyges::cli {
namespace {

namespace fs = std::filesystem;

constexpr int exit_stopped = 130;

struct RunOptions {
  std::string file;       // run
  std::string directory;  // resume; run: --out
  std::string executor = "local";
  std::string recorder = "auto";
  std::vector<std::string> allow_degraded;
  std::vector<std::string> slurm_options;
  unsigned slurm_runs = 1;
  unsigned jobs = 0;  // 0: the file's, else one for each core
  bool allow_undeclared = false;
  bool json = false;
};

volatile std::sig_atomic_t stops_asked = 0;

void count_stop_signal(int) {
  stops_asked = stops_asked + 1;
}

void listen_for_stop_signals() {
  struct sigaction action {};
  action.sa_handler = count_stop_signal;
  // Without SA_RESTART: the runner's wait has to notice.
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

bool is_whole(const fs::path& bundle) {
  auto faults = recorder::verify_bundle(bundle);
  return faults && faults->empty();
}

// "out/<name of the file>-2026-11-21T09-00-00"
std::string default_directory(const fs::path& file) {
  std::string name = file.filename().string();
  name = name.substr(0, name.find('.'));
  std::string time = recorder::utc_timestamp().substr(0, 19);
  for (char& c : time)
    if (c == ':') c = '-';
  return "out/" + name + "-" + time;
}

Result<std::unique_ptr<experiment::Executor>> make_slurm_executor(
    const RunOptions& options, const experiment::OpenExperiment& open, const fs::path& self) {
  experiment::SlurmExecutorOptions slurm;
  slurm.directory = open.directory.path();
  slurm.command = {self.string(), "experiment", "worker", "--recorder", options.recorder};
  for (const std::string& name : options.allow_degraded)
    slurm.command.push_back("--allow-degraded=" + name);
  slurm.options = options.slurm_options;
  slurm.name = "gyges-" + open.experiment.name;
  slurm.jobs = options.jobs != 0 ? options.jobs : open.experiment.jobs.value_or(64);
  slurm.runs_of_a_task = options.slurm_runs;
  slurm.episode_limit = open.experiment.limits.episode;
  GYGES_TRY(auto executor, experiment::SlurmExecutor::create(std::move(slurm)));
  return std::unique_ptr<experiment::Executor>(std::move(executor));
}

Result<std::unique_ptr<experiment::Executor>> make_executor(
    const RunOptions& options, const experiment::OpenExperiment& open) {
  std::error_code error;
  fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (error) return fail_errno("find", "/proc/self/exe", error.value());
  if (options.executor == "slurm") return make_slurm_executor(options, open, self);
  experiment::LocalExecutorOptions local;
  local.command = {self.string(),
                   "experiment",
                   "worker",
                   "--recorder",
                   options.recorder,
                   "--parent",
                   std::to_string(getpid()),
                   "--lock-fd",
                   std::to_string(experiment::worker_lock_fd)};
  for (const std::string& name : options.allow_degraded)
    local.command.push_back("--allow-degraded=" + name);
  local.jobs =
      options.jobs != 0
          ? options.jobs
          : open.experiment.jobs.value_or(std::max(1U, std::thread::hardware_concurrency()));
  local.episode_limit = open.experiment.limits.episode;
  local.lock_fd = open.directory.lock_fd();
  GYGES_TRY(auto executor, experiment::LocalExecutor::create(std::move(local)));
  return std::unique_ptr<experiment::Executor>(std::move(executor));
}

nlohmann::json to_json(const experiment::OpenExperiment& open,
                       const experiment::RunnerSummary& summary) {
  const experiment::Progress& progress = summary.progress;
  nlohmann::json conditions = nlohmann::json::array();
  for (const auto& condition : progress.conditions)
    conditions.push_back({{"condition", condition.condition},
                          {"planned", condition.planned},
                          {"finished", condition.finished},
                          {"failed", condition.failed}});
  return {{"directory", open.directory.path().string()},
          {"sha256", open.record.sha256},
          {"planned", progress.planned},
          {"finished", progress.finished},
          {"finished_before", progress.finished_before},
          {"failed", progress.failed},
          {"retried", progress.retried},
          {"ended_in_error", progress.ended_in_error},
          {"lost", progress.lost_events},
          {"seconds", std::chrono::duration<double>(progress.elapsed).count()},
          {"stopped", summary.stopped},
          {"conditions", conditions}};
}

void print_summary(const experiment::OpenExperiment& open,
                   const experiment::RunnerSummary& summary) {
  const experiment::Progress& progress = summary.progress;
  const double seconds = std::chrono::duration<double>(progress.elapsed).count();
  const std::size_t now = progress.finished - progress.finished_before;
  std::string text = fmt::format("{} of {} runs finished", progress.finished, progress.planned);
  if (progress.finished_before > 0)
    text += fmt::format(", {} of them earlier", progress.finished_before);
  if (now > 0 && seconds > 0)
    text += fmt::format(", in {:.1f} s ({:.2f}/s)", seconds, static_cast<double>(now) / seconds);
  if (progress.failed > 0) text += fmt::format("; {} failed", progress.failed);
  if (progress.ended_in_error > 0)
    text += fmt::format("; {} ended in error", progress.ended_in_error);
  if (progress.retried > 0) text += fmt::format("; {} attempts repeated", progress.retried);
  text += fmt::format("; {} events lost", progress.lost_events);
  std::printf("%s\n%s\n", text.c_str(), printable(open.directory.path().string()).c_str());
}

// What the conditions look like from inside, before anything is run in them.
Status audit_first(const RunOptions& options, const experiment::OpenExperiment& open,
                   ExperimentProgress& display) {
  experiment::ExperimentAuditOptions how;
  how.allow_undeclared = options.allow_undeclared;
  how.allow_degraded = options.allow_degraded;
  how.stop = [] { return stops_asked > 0; };
  how.report = [&](std::size_t done, std::size_t of) { display.show_audit(done, of); };
  GYGES_TRY(experiment::ExperimentAudit audit,
            experiment::audit_experiment(open.experiment, open.directory.path(), how));
  if (audit.repeated || !audit.undeclared.empty())
    display.say(fmt::format(
        "audit: conditions differ in {} observables as declared, in {} undeclared{}",
        audit.differences, audit.undeclared.size(), audit.undeclared.empty() ? "" : " (allowed)"));
  return ok();
}

Result<int> carry_out(const RunOptions& options, const std::optional<fs::path>& file) {
  // Asked before anything is made.
  if (options.executor == "slurm") {
    GYGES_TRY([[maybe_unused]] std::size_t largest, experiment::slurm_largest_array());
  }
  // A runner that was killed leaves its Slurm jobs running; what they finish is recovered below.
  if (!experiment::in_use(options.directory))
    GYGES_CHECK(experiment::end_left_slurm_jobs(options.directory));
  GYGES_TRY(experiment::OpenExperiment open,
            experiment::open_experiment(options.directory, file, experiment::episode_sources(),
                                        is_whole));
  ExperimentProgress display;
  listen_for_stop_signals();
  bool announced = false;
  if (Status audited = audit_first(options, open, display); !audited) {
    if (stops_asked == 0) return tl::unexpected<Error>(std::move(audited.error()));
    // The signal may have met what was reading, too, so the error says nothing. The runner, which
    // is asked to stop before it starts anything, says how far the experiment is.
    display.say("stopping: the conditions are not audited yet");
    announced = true;
  }
  GYGES_TRY(auto executor, make_executor(options, open));
  if (!open.recovered.empty())
    display.say(fmt::format("{} runs of a killed runner were finished and are kept",
                            open.recovered.size()));
  experiment::RunnerOptions runner;
  runner.report = [&](const experiment::Progress& progress) { display.show(progress); };
  runner.stop = [&] {
    if (stops_asked == 0) return experiment::StopRequest::none;
    if (!announced) display.say("stopping: running episodes may finish; once more to stop at once");
    announced = true;
    return stops_asked > 1 ? experiment::StopRequest::at_once
                           : experiment::StopRequest::finish_running;
  };
  auto summary = experiment::carry_out(open.experiment, open.plan, open.directory, open.index,
                                       *executor, runner);
  display.finish();
  if (!summary) return tl::unexpected<Error>(std::move(summary.error()));
  if (options.json) {
    std::printf("%s\n", to_json(open, *summary).dump(2).c_str());
  } else {
    print_summary(open, *summary);
  }
  if (summary->stopped) {
    std::fprintf(stderr, "stopped; to go on: gyges experiment resume %s\n",
                 printable(open.directory.path().string()).c_str());
    return exit_stopped;
  }
  return summary->progress.failed > 0 ? exit_found : 0;
}

nlohmann::json to_json(const experiment::ExperimentStatus& status) {
  nlohmann::json conditions = nlohmann::json::array();
  for (const auto& condition : status.conditions)
    conditions.push_back({{"condition", condition.condition},
                          {"planned", condition.planned},
                          {"finished", condition.finished},
                          {"exits", condition.exits},
                          {"lost", condition.lost}});
  nlohmann::json failures = nlohmann::json::array();
  for (const auto& failure : status.failures)
    failures.push_back({{"slot", failure.slot},
                        {"attempt", failure.attempt},
                        {"at", failure.at},
                        {"kind", failure.kind},
                        {"detail", valid_utf8(failure.detail)}});
  return {{"experiment", status.name},
          {"sha256", status.sha256},
          {"registered_at", status.registered_at},
          {"running", status.running},
          {"planned", status.planned},
          {"finished", status.finished},
          {"indexed", status.indexed},
          {"conditions", conditions},
          {"failures", failures}};
}

void print_status(const experiment::ExperimentStatus& status) {
  std::printf("experiment  %s  (%s, registered %s)\n", printable(status.name).c_str(),
              status.sha256.substr(0, 12).c_str(), printable(status.registered_at).c_str());
  std::printf("state       %s, %zu of %zu runs finished\n\n",
              status.running                      ? "running"
              : status.finished == status.planned ? "complete"
                                                  : "incomplete",
              status.finished, status.planned);
  std::size_t width = 9;
  for (const auto& condition : status.conditions)
    width = std::max(width, condition.condition.size());
  std::printf("%-*s  finished  lost  how runs ended\n", static_cast<int>(width), "condition");
  for (const auto& condition : status.conditions) {
    std::string exits;
    for (const auto& [kind, runs] : condition.exits)
      exits += fmt::format("{}{} {}", exits.empty() ? "" : ", ", printable(kind), runs);
    std::printf("%-*s  %8s  %4lu  %s\n", static_cast<int>(width), condition.condition.c_str(),
                fmt::format("{}/{}", condition.finished, condition.planned).c_str(),
                static_cast<unsigned long>(condition.lost), exits.c_str());
  }
  if (status.indexed < status.finished)
    std::printf(
        "\n%zu finished runs are not in the index yet; `gyges experiment resume` adds "
        "them\n",
        status.finished - status.indexed);
  for (const auto& failure : status.failures)
    std::printf("\nfailed: %s, attempt %u at %s: %s", printable(failure.slot).c_str(),
                failure.attempt, printable(failure.at).c_str(), printable(failure.detail).c_str());
  if (!status.failures.empty()) std::printf("\n");
}

constexpr const char* run_statuses =
    "Exit status: 0 all runs are finished, 1 some have failed for good, 130 stopped by Ctrl-C or\n"
    "SIGTERM (finished runs are kept), 125 an error of gyges itself.";

void add_run_options(CLI::App& command, RunOptions& options) {
  command.add_option("--jobs", options.jobs, "runs at once; default: the file's, or one per core")
      ->check(CLI::Range(1U, 1024U));
  command.add_option("--executor", options.executor, "where to run: local (default) or slurm")
      ->check(CLI::IsMember({"local", "slurm"}));
  command.add_option("--slurm-option", options.slurm_options,
                     "an option for sbatch, as --slurm-option=--partition=P; may be repeated");
  command
      .add_option("--slurm-runs", options.slurm_runs,
                  "runs that one Slurm task carries out, one after the other")
      ->check(CLI::Range(1U, 10'000U));
  add_seal_key_option(command);
  command.add_option("--recorder", options.recorder, recorder_help)
      ->check(CLI::IsMember({"auto", "ebpf", "ptrace", "off"}));
  add_degraded_option(command, options.allow_degraded);
  command.add_flag("--allow-undeclared-differences", options.allow_undeclared,
                   "run although conditions differ from inside in what no factor declares; the "
                   "record and every comparison say so");
  command.add_flag("--json", options.json, "print the summary as JSON");
}

int finish(const Result<int>& result) {
  return result ? *result : report(result.error());
}

void add_run_command(CLI::App& parent, int& exit_status) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = parent.add_subcommand(
      "run", "Carry out an experiment file; goes on where an earlier run in the same --out ended");
  command->add_option("FILE", options->file, "experiment file")->required();
  command->add_option("--out", options->directory, "experiment directory; default: below out/");
  add_run_options(*command, *options);
  command->footer(
      std::string(run_statuses) +
      "\n\nExample:\n"
      "  gyges experiment run scenarios/log_retention/demo.experiment.json --out out/demo");
  command->callback([options, &exit_status] {
    if (options->directory.empty()) options->directory = default_directory(options->file);
    exit_status = finish(carry_out(*options, options->file));
  });
}

void add_resume_command(CLI::App& parent, int& exit_status) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = parent.add_subcommand(
      "resume", "Go on with an experiment that was stopped or killed; finished runs are kept");
  command->add_option("DIR", options->directory, "experiment directory")->required();
  add_run_options(*command, *options);
  command->footer(std::string(run_statuses) + "\n\nExample:\n  gyges experiment resume out/demo");
  command->callback(
      [options, &exit_status] { exit_status = finish(carry_out(*options, std::nullopt)); });
}

void add_status_command(CLI::App& parent, int& exit_status) {
  auto directory = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = parent.add_subcommand("status", "How far an experiment is");
  command->add_option("DIR", *directory, "experiment directory")->required();
  command->add_flag("--json", *json, "print it as JSON");
  command->footer("Example:\n  gyges experiment status out/demo");
  command->callback([directory, json, &exit_status] {
    auto status = experiment::experiment_status(*directory);
    if (!status) {
      exit_status = report(status.error());
    } else if (*json) {
      std::printf("%s\n", to_json(*status).dump(2).c_str());
    } else {
      print_status(*status);
    }
  });
}

void add_worker_command(CLI::App& parent, int& exit_status) {
  auto options = std::make_shared<WorkerOptions>();
  CLI::App* command = parent.add_subcommand("worker", "");
  command->group("");  // hidden: runners start it
  command->add_option("--recorder", options->recorder)
      ->check(CLI::IsMember({"auto", "ebpf", "ptrace", "off"}));
  add_degraded_option(*command, options->allow_degraded);
  command->add_option("--parent", options->parent);
  command->add_option("--lock-fd", options->lock_fd);
  command->add_option("--slurm-batch", options->slurm_batch);
  command->add_option("--slurm-task", options->slurm_task);
  command->callback([options, &exit_status] { exit_status = run_experiment_worker(*options); });
}

}  // namespace

void add_experiment(CLI::App& root, int& exit_status) {
  CLI::App* command =
      root.add_subcommand("experiment", "Run scenarios x agents x conditions x repeats");
  command->require_subcommand(1);
  add_run_command(*command, exit_status);
  add_resume_command(*command, exit_status);
  add_status_command(*command, exit_status);
  add_plan_command(*command, exit_status);
  add_worker_command(*command, exit_status);
}

}  // namespace gyges::cli
