// gyges cues: what can be seen from inside.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/cues_commands.h"
#include "cli/degraded_option.h"
#include "cli/open_recorder.h"
#include "cli/working_directory.h"
#include "sandbox/cues/audit/probe_run.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox/run/command_run.h"

namespace gyges::cli {
namespace {

struct ProbeOptions {
  std::string policy;
  std::string persona;
  std::string container;
  std::string extract;
  std::string recorder = "auto";
  std::uint64_t seed = 0;
  std::vector<std::string> allow_degraded;
  std::vector<std::string> channels;
  bool json = false;
};

Result<std::string> probe_in_sandbox(const ProbeOptions& options,
                                     const cues::ProbeRequest& request) {
  run::CommandRunRequest run;
  GYGES_TRY(run.policy,
            isolation::load_policy(options.policy.empty() ? "default" : options.policy));
  if (!options.persona.empty()) run.persona = options.persona;
  run.seed = options.seed;
  run.allow_degraded = options.allow_degraded;
  GYGES_TRY(run.workspace, working_directory(""));
  GYGES_TRY(run::ComposedSandbox composed, run::compose_sandbox(run));
  GYGES_TRY(std::unique_ptr<recorder::Recorder> recorder, open_recorder(options.recorder));
  return cues::probe_sandbox(
      {std::move(composed.spec), std::move(composed.environment), std::move(composed.directory)},
      recorder.get(), request);
}

// What was asked for by name has to be in what came.
Status check_read(const cues::Reading& reading, const std::string& channel) {
  const auto& seen = reading.observations;
  if (channel.starts_with("file:") || std::any_of(seen.begin(), seen.end(), [&](const auto& one) {
        return one.first.starts_with(channel);
      }))
    return ok();
  return fail("probe", quoted(channel), "no channel with this beginning was read",
              "see docs/cues.md for the channels, as K1 or T8.uptime");
}

Result<int> probe(const ProbeOptions& options) {
  if (!options.extract.empty()) {
    GYGES_CHECK(cues::extract_probe(options.extract));
    std::fprintf(stderr, "gyges: the probe is %s: a static program that prints JSON lines\n",
                 printable(options.extract).c_str());
    return 0;
  }
  cues::ProbeRequest request;
  request.arguments = options.channels;
  std::string text;
  if (!options.container.empty()) {
    GYGES_TRY(std::vector<std::string> prefix, cues::split_command(options.container));
    GYGES_TRY(text, cues::probe_container(prefix, request));
  } else if (!options.policy.empty() || !options.persona.empty()) {
    GYGES_TRY(text, probe_in_sandbox(options, request));
  } else {
    GYGES_TRY(text, cues::probe_host(request));
  }
  GYGES_TRY(cues::Reading reading, cues::parse_reading(text, "the probe's output"));
  for (const std::string& channel : options.channels) GYGES_CHECK(check_read(reading, channel));
  if (options.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
  }
  for (const auto& [channel, seen] : reading.observations) {
    std::string value = printable(seen.shown());
    if (value.size() > 160) value = value.substr(0, 157) + "...";
    std::printf("%-36s %s\n", printable(channel).c_str(), value.c_str());
  }
  std::fprintf(stderr, "gyges: %zu observations in %lu ms\n", reading.observations.size(),
               static_cast<unsigned long>(reading.microseconds / 1000));
  return 0;
}

void add_probe(CLI::App& parent, int& exit_status) {
  auto options = std::make_shared<ProbeOptions>();
  CLI::App* command = parent.add_subcommand(
      "probe", "Read every channel through which a program can learn where it runs");
  auto* policy = command->add_option("--policy", options->policy,
                                     "probe a sandbox of this policy (preset or file)");
  auto* persona = command->add_option("--persona", options->persona,
                                      "probe a sandbox of this persona (name or manifest)");
  auto* container = command->add_option(
      "--container", options->container,
      "probe what this command starts, for example 'docker run -i --rm debian:12'");
  container->excludes(policy)->excludes(persona);
  command
      ->add_option("--extract", options->extract,
                   "write the probe, a static program, to this file and run nothing")
      ->excludes(policy)
      ->excludes(persona)
      ->excludes(container);
  command->add_option("--seed", options->seed, "of the persona's generated content");
  command->add_option("--recorder", options->recorder, recorder_help)
      ->check(CLI::IsMember({"auto", "ebpf", "ptrace", "off"}));
  add_degraded_option(*command, options->allow_degraded);
  command->add_flag("--json", options->json,
                    "print the probe's own output: one JSON object a line");
  command->add_option("channel", options->channels,
                      "beginnings of channels to read, for example K1 T8 (default: all)");
  command->footer(
      "Without --policy, --persona and --container the host itself is probed. docs/cues.md lists "
      "the channels.\n\n"
      "Examples:\n"
      "  gyges cues probe --persona vm-production\n"
      "  gyges cues probe --container 'bwrap --bind / / --unshare-all' P F1\n"
      "  gyges cues probe --extract ./probe");
  command->callback([options, &exit_status] {
    auto status = probe(*options);
    exit_status = status ? *status : report(status.error());
  });
}

}  // namespace

void add_cues(CLI::App& root, int& exit_status) {
  CLI::App* command = root.add_subcommand(
      "cues",
      "Say what can be seen from inside, what it gives away, and what tells conditions apart");
  command->require_subcommand(1);
  add_probe(*command, exit_status);
  add_cues_audit(*command, exit_status);
  add_cues_requests(*command, exit_status);
}

}  // namespace gyges::cli
