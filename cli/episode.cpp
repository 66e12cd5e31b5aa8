// gyges episode: one agent, one task, one condition, once or several times.
#include "agent_runtime/episode/episode.h"
#include "base/json.h"

#include <fmt/format.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>

#include "agent_runtime/episode/terminal_person.h"
#include "agent_runtime/scaffold/agent_profile.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/degraded_option.h"
#include "cli/open_recorder.h"
#include "cli/seal_key_option.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::cli {
namespace {

struct EpisodeOptions {
  std::string scenario;
  std::string agent;
  std::string model;
  std::string dialect;
  std::vector<std::string> program;
  std::vector<std::string> condition;
  std::uint64_t seed = 0;
  std::uint32_t repeat = 1;
  std::string policy;
  std::string recorder = "auto";
  std::string out;
  std::string day;
  std::vector<std::string> allow_degraded;
  std::string gate;
  std::string gate_mode;
  std::vector<std::string> monitors;
  bool person = false;
  bool json = false;
};

Result<std::map<std::string, std::string>> condition_of(const std::vector<std::string>& pairs) {
  std::map<std::string, std::string> condition;
  for (const auto& pair : pairs) {
    auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail("read --condition", printable(pair), "is not of the form FACTOR=LEVEL",
                  "write for example --condition oversight=announced");
    if (!condition.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second)
      return fail("read --condition", printable(pair), "names a factor a second time",
                  "name it once");
  }
  return condition;
}

// "out/log_retention-honest-2026-11-21T09-00-00.000Z"
std::string default_out(const episode::EpisodeRequest& request) {
  std::string time = recorder::utc_timestamp();
  std::replace(time.begin(), time.end(), ':', '-');
  return "out/" + request.scenario.filename().string() + "-" +
         (request.scaffold ? request.scaffold->profile + "." : "") + request.agent.stem().string() +
         "-" + time;
}

void print_outcome(const episode::EpisodeOutcome& outcome, const std::filesystem::path& bundle,
                   std::uint64_t seed, bool json) {
  if (json) {
    nlohmann::json line{{"run_id", outcome.run_id},
                        {"seed", seed},
                        {"exit", {{"kind", outcome.exit_kind}, {"reason", outcome.exit_reason}}},
                        {"limits_hit", outcome.limits_hit},
                        {"totals", outcome.totals.to_json()},
                        {"lost", outcome.lost},
                        {"bundle", bundle.string()}};
    fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}  {:<13}  lost {}  {}{}{}\n", outcome.run_id, outcome.exit_kind, outcome.lost,
               printable(bundle.string()),
               outcome.limits_hit.empty() ? "" : "  limits: ", join(outcome.limits_hit, ", "));
    const episode::Totals& used = outcome.totals;
    std::string cost = used.cost > 0 ? fmt::format(", cost {:.4f}", used.cost) : "";
    fmt::print("    {} of {} requests answered, {} calls, {} tokens in ({} cached), {} out{}\n",
               used.replies, used.requests, used.tool_calls, used.usage.input_tokens,
               used.usage.cached_tokens, used.usage.output_tokens, cost);
    for (const auto& [name, monitor] : used.monitors)
      fmt::print("    monitor {}: {} requests, {} tokens in, {} out{}\n", printable(name),
                 monitor.requests, monitor.usage.input_tokens, monitor.usage.output_tokens,
                 monitor.cost > 0 ? fmt::format(", cost {:.4f}", monitor.cost) : "");
    if (!outcome.exit_reason.empty()) fmt::print("    {}\n", printable(outcome.exit_reason));
  }
  std::fflush(stdout);
}

// --agent names an agent, or a program (an agent profile) with --model behind it.
Status choose_agent(const EpisodeOptions& options, episode::EpisodeRequest& request) {
  auto agent = episode::find_agent(request.scenario, options.agent);
  bool file = options.agent.find('/') != std::string::npos || options.agent.ends_with(".json");
  if (agent && options.model.empty()) {
    if (!options.program.empty() || !options.dialect.empty())
      return fail("read command line", options.agent,
                  "is an agent file, which names its program itself",
                  "leave out --dialect and what stands after --, or name a profile");
    request.agent = std::move(*agent);
    return ok();
  }
  if (!file && !scaffold::is_profile_name(options.agent))
    return fail("find agent", printable(options.agent),
                "is neither an agent of the scenario nor an agent profile",
                agent.error().cure + "; profiles: " + join(scaffold::profile_names(), ", "));
  if (options.model.empty())
    return fail("read command line", printable(options.agent),
                "is a program, and nothing says which model stands behind it",
                "add --model with an agent file, or an agent of the scenario");
  GYGES_TRY(request.agent, episode::find_agent(request.scenario, options.model));
  request.scaffold = episode::ScaffoldChoice{options.agent, options.dialect, options.program};
  return ok();
}

// The first of these signals ends the episode, and its bundle is sealed; the second ends the
// process. A handler and no signal mask: what is started inherits a mask, and could see it.
volatile std::sig_atomic_t episode_interrupt_signal = 0;
int episode_interrupt_fd = -1;

void interrupt_episode(int signal) {
  const int before = errno;
  episode_interrupt_signal = signal;
  (void)::eventfd_write(episode_interrupt_fd, 1);
  errno = before;
}

Status interrupt_by_signals() {
  episode_interrupt_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (episode_interrupt_fd < 0) return fail_errno("make event counter", "");
  struct sigaction action {};
  action.sa_handler = interrupt_episode;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);
  }
  return ok();
}

// Whether every episode ended otherwise than by an error.
Result<bool> run_all(const EpisodeOptions& options) {
  bool all_well = true;
  episode::EpisodeRequest request;
  GYGES_TRY(request.scenario, episode::find_scenario(options.scenario));
  GYGES_CHECK(choose_agent(options, request));
  GYGES_TRY(request.condition, condition_of(options.condition));
  if (!options.policy.empty()) request.policy = options.policy;
  if (!options.day.empty()) request.day = options.day;
  request.allow_degraded = options.allow_degraded;
  if (!options.gate.empty()) request.gate = options.gate;
  request.gate_mode = options.gate_mode;
  request.monitors.assign(options.monitors.begin(), options.monitors.end());
  GYGES_CHECK(interrupt_by_signals());
  request.interrupt_fd = episode_interrupt_fd;
  episode::TerminalPerson person(STDIN_FILENO, STDERR_FILENO, episode_interrupt_fd);
  if (options.person) {
    request.person = &person;
    request.colleague = &person;
  }
  // Mistakes in the request come before the cost of the recorder.
  request.seed = options.seed;
  GYGES_CHECK(episode::check_episode(request));
  GYGES_TRY(std::unique_ptr<recorder::Recorder> recorder, open_recorder(options.recorder));
  std::filesystem::path base = options.out.empty() ? default_out(request) : options.out;
  for (std::uint32_t repeat = 0; repeat < options.repeat; ++repeat) {
    request.repeat = repeat;
    request.seed = options.seed + repeat;
    request.out = base;
    if (options.repeat > 1) request.out /= fmt::format("r{}", repeat);
    std::error_code error;
    if (auto parent = request.out.parent_path(); !parent.empty())
      std::filesystem::create_directories(parent, error);
    if (error) return fail_errno("make directory", request.out.string(), error.value());
    GYGES_TRY(episode::EpisodeOutcome outcome, episode::run_episode(request, recorder.get()));
    print_outcome(outcome, request.out, request.seed, options.json);
    all_well = all_well && outcome.exit_kind != "error";
    if (episode_interrupt_signal != 0) break;
  }
  return all_well;
}

}  // namespace

void add_episode(CLI::App& root, int& exit_status) {
  auto options = std::make_shared<EpisodeOptions>();
  CLI::App* command = root.add_subcommand("episode", "Run one agent on one task in one condition");
  command
      ->add_option("scenario", options->scenario,
                   "a scenario's directory, or its name below scenarios/")
      ->required();
  command
      ->add_option("--agent", options->agent,
                   "an agent file, the name of an agent of the scenario, or a program (a shipped "
                   "agent profile such as claude_code, codex, pi, command, or a profile's file)")
      ->required();
  command->add_option("--model", options->model,
                      "with a program as the agent: the agent file whose model stands behind it");
  command->add_option("--dialect", options->dialect,
                      "with a program as the agent: the wire format it is to speak");
  command->add_option("program", options->program,
                      "after --: the command line, for --agent command");
  command
      ->add_option("--condition", options->condition,
                   "FACTOR=LEVEL; other factors take their default level")
      ->take_all();
  command->add_option("--seed", options->seed, "of the world and of a scripted model")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 53U))
      ->capture_default_str();
  command->add_option("--repeat", options->repeat, "number of runs, with seeds counting up")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--policy", options->policy,
                      "a preset or a policy file; the scenario's when absent");
  command->add_option("--gate", options->gate,
                      "a gate file that decides tool calls; the scenario's when absent");
  command->add_option("--gate-mode", options->gate_mode, "what the gate's decisions do")
      ->check(CLI::IsMember({"enforce", "record", "off"}));
  command->add_option("--monitor", options->monitors, "a monitor file that looks on; several times")
      ->take_all();
  command->add_flag("--person", options->person,
                    "somebody at this terminal decides what the gate hands on, and answers the "
                    "agent's questions");
  add_seal_key_option(*command);
  command->add_option("--recorder", options->recorder, recorder_help)
      ->check(CLI::IsMember({"auto", "ebpf", "ptrace", "off"}))
      ->capture_default_str();
  command
      ->add_option("--out", options->out,
                   "the run bundle; with --repeat a directory of bundles r0, r1, ...")
      ->capture_default_str();
  command->add_option("--day", options->day,
                      "the moment the world is seen at, YYYY-MM-DDTHH:MM:SSZ, or a day; now");
  add_degraded_option(*command, options->allow_degraded);
  command->add_flag("--json", options->json, "one JSON object for each run");
  command->footer(
      "Exit status: 0 when the episode came to an end of the agent's or of a limit; 1 when it "
      "ended\n"
      "in an error (run.json, exit.reason); 125 when it could not be started; 128+N when signal N\n"
      "(SIGINT, SIGTERM, SIGHUP) ended it: the bundle is sealed. A second one ends it at once.\n\n"
      "Examples:\n"
      "  gyges episode log_retention --agent two_faced --condition oversight=announced_off\n"
      "  gyges episode log_retention --agent my-model.json --repeat 5 --out out/mine\n"
      "  gyges episode log_retention --agent claude_code --model my-model.json --out out/claude");
  command->callback([options, &exit_status] {
    auto well = run_all(*options);
    exit_status = !well ? report(well.error()) : *well ? 0 : exit_found;
    if (episode_interrupt_signal != 0) exit_status = 128 + episode_interrupt_signal;
  });
}

}  // namespace gyges::cli
