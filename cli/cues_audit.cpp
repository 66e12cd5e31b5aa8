// gyges cues audit: differences between conditions, leaks, contradictions.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/experiment/condition_audit.h"
#include "agent_runtime/experiment/experiment.h"
#include "agent_runtime/experiment/sources.h"
#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/cues_commands.h"
#include "cli/degraded_option.h"
#include "cli/open_recorder.h"
#include "cli/working_directory.h"
#include "sandbox/cues/audit/audit.h"
#include "sandbox/cues/audit/probe_run.h"
#include "sandbox/cues/audit/report.h"
#include "sandbox/cues/persona.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox/run/command_run.h"

namespace gyges::cli {
namespace {

struct AuditCommand {
  std::string subject;                  // scenario or experiment file
  std::vector<std::string> conditions;  // "factor=level,factor=level"
  std::vector<std::string> policies, personas, containers, readings, declared;
  std::vector<std::string> allow_degraded;
  std::string claim;
  std::string recorder = "auto";
  std::string fail_on = "high";
  std::uint64_t seed = 0;
  std::uint32_t rounds = 3;
  bool all = false;
  bool json = false;
};

Result<std::map<std::string, std::string>> levels_of(const std::string& text) {
  std::map<std::string, std::string> levels;
  for (const std::string& pair : split(text, ',')) {
    std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail("read --condition", printable(text), "is not of the form FACTOR=LEVEL,...",
                  "write for example --condition oversight=announced");
    levels[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return levels;
}

void make_unique(std::vector<cues::ConditionToAudit>& conditions) {
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    int same = 1;
    for (std::size_t k = 0; k < i; ++k)
      same += conditions[k].name == conditions[i].name ||
                      conditions[k].name.starts_with(conditions[i].name + " (")
                  ? 1
                  : 0;
    if (same > 1) conditions[i].name += " (" + std::to_string(same) + ")";
  }
}

class Auditor {
 public:
  explicit Auditor(const AuditCommand& command) : command_(command) {
    options_.rounds = command.rounds;
    claim_ = cues::claim_from_name(command.claim);
  }

  // Name of the scenario (empty: none) and its audit.
  Result<std::vector<std::pair<std::string, cues::Audit>>> run() {
    GYGES_TRY(recorder_, open_recorder(command_.recorder));
    if (command_.subject.empty()) {
      GYGES_TRY(cues::Audit one, audit_given());
      std::vector<std::pair<std::string, cues::Audit>> all;
      all.emplace_back("", std::move(one));
      return all;
    }
    std::error_code ignored;
    if (std::filesystem::is_regular_file(command_.subject, ignored)) return audit_experiment();
    return audit_scenario();
  }

 private:
  Result<std::vector<std::pair<std::string, cues::Audit>>> audit_experiment() {
    GYGES_TRY(experiment::Experiment plan,
              experiment::load_experiment(command_.subject, experiment::episode_sources()));
    std::vector<std::pair<std::string, cues::Audit>> all;
    for (const experiment::ScenarioEntry& scenario : plan.scenarios) {
      experiment::ConditionsToAudit request;
      request.scenario = scenario.facts.directory;
      for (const experiment::Condition& condition : plan.conditions)
        request.conditions.emplace_back(condition.id, condition.levels);
      if (plan.policy) request.policy = plan.policy->resolved;
      request.day = plan.day;
      GYGES_TRY(cues::Audit one, audit(std::move(request)));
      all.emplace_back(scenario.id, std::move(one));
    }
    return all;
  }

  Result<std::vector<std::pair<std::string, cues::Audit>>> audit_scenario() {
    experiment::ConditionsToAudit request;
    GYGES_TRY(request.scenario, episode::find_scenario(command_.subject));
    for (const std::string& text : command_.conditions) {
      GYGES_TRY(auto levels, levels_of(text));
      std::string name = text;
      for (int same = 2; std::any_of(request.conditions.begin(), request.conditions.end(),
                                     [&](const auto& other) { return other.first == name; });
           ++same)
        name = text + " (" + std::to_string(same) + ")";
      request.conditions.emplace_back(name, std::move(levels));
    }
    if (request.conditions.empty()) {
      GYGES_TRY(request.conditions, experiment::single_changes(request.scenario));
    }
    if (!command_.policies.empty()) request.policy = command_.policies.front();
    GYGES_TRY(cues::Audit one, audit(request));
    std::vector<std::pair<std::string, cues::Audit>> all;
    all.emplace_back(request.scenario.filename().string(), std::move(one));
    return all;
  }

  Result<cues::Audit> audit(experiment::ConditionsToAudit request) {
    request.seed = command_.seed;
    request.allow_degraded = command_.allow_degraded;
    request.claim = claim_;
    request.recorder = recorder_.get();
    return experiment::audit_conditions(request, options_);
  }

  Result<cues::Audit> audit_given() {
    std::vector<cues::ConditionToAudit> conditions;
    std::size_t pairs = std::max(command_.policies.size(), command_.personas.size());
    if (!command_.policies.empty() && !command_.personas.empty() && command_.policies.size() > 1 &&
        command_.personas.size() > 1 && command_.policies.size() != command_.personas.size())
      return fail("audit", "", "there are several policies and another number of personas",
                  "give one of the two once, or both equally often");
    for (std::size_t i = 0; i < pairs; ++i) {
      GYGES_TRY(cues::ConditionToAudit one, sandbox_condition(i));
      conditions.push_back(std::move(one));
    }
    for (const std::string& line : command_.containers) {
      GYGES_TRY(std::vector<std::string> prefix, cues::split_command(line));
      conditions.push_back({line,
                            claim_.value_or(cues::Claim::nothing),
                            [prefix, this] { return cues::probe_container(prefix, probe_); },
                            {}});
    }
    bool files = !command_.readings.empty();
    for (const std::string& file : command_.readings)
      conditions.push_back({file,
                            claim_.value_or(cues::Claim::nothing),
                            [file] { return read_file(file, cues::max_reading_bytes); },
                            {}});
    if (conditions.empty())
      return fail(
          "audit", "", "nothing is named that could be audited",
          "name a scenario or experiment, or --persona, --policy, --container or --reading");
    make_unique(conditions);
    cues::AuditOptions options = options_;
    if (files && conditions.size() == command_.readings.size()) options = {1, 0};
    return cues::audit(
        conditions,
        [this](std::size_t, std::size_t) {
          return std::set<std::string>(command_.declared.begin(), command_.declared.end());
        },
        options);
  }

  Result<cues::ConditionToAudit> sandbox_condition(std::size_t index) {
    auto pick = [&](const std::vector<std::string>& from) {
      return from.empty() ? std::string() : from[std::min(index, from.size() - 1)];
    };
    std::string policy = pick(command_.policies);
    std::string persona = pick(command_.personas);
    run::CommandRunRequest run;
    GYGES_TRY(run.policy, isolation::load_policy(policy.empty() ? "default" : policy));
    if (!persona.empty()) run.persona = persona;
    run.seed = command_.seed;
    run.as_of = as_of_;
    run.allow_degraded = command_.allow_degraded;
    GYGES_TRY(run.workspace, working_directory(""));
    GYGES_TRY(run::ComposedSandbox composed, run::compose_sandbox(run));
    auto sandbox = std::make_shared<cues::SandboxToProbe>(cues::SandboxToProbe{
        std::move(composed.spec), std::move(composed.environment), std::move(composed.directory)});
    cues::ConditionToAudit condition;
    condition.name = persona.empty()                ? policy
                     : command_.policies.size() > 1 ? persona + " + " + policy
                                                    : persona;
    condition.claim = claim_.value_or(cues::Claim::nothing);
    if (!claim_ && !persona.empty()) {
      GYGES_TRY(cues::Persona manifest, cues::load_persona(persona));
      if (const auto& machine = manifest.machine)
        condition.claim = cues::claim_from_detectors(machine->claims_vm, machine->claims_container);
    }
    condition.read = [sandbox, this] {
      return cues::probe_sandbox(*sandbox, recorder_.get(), probe_);
    };
    return condition;
  }

  const AuditCommand& command_;
  // One moment for all that are compared.
  const std::int64_t as_of_ = cues::this_minute();
  cues::AuditOptions options_;
  cues::ProbeRequest probe_;
  std::optional<cues::Claim> claim_;
  std::unique_ptr<recorder::Recorder> recorder_;
};

void print_json(const std::vector<std::pair<std::string, cues::Audit>>& audits) {
  nlohmann::json document;
  if (audits.size() == 1) {
    document = cues::audit_to_json(audits.front().second);
    if (!audits.front().first.empty()) document["scenario"] = audits.front().first;
  } else {
    document = {{"differences", nlohmann::json::array()},
                {"leaks", nlohmann::json::array()},
                {"contradictions", nlohmann::json::array()},
                {"audits", nlohmann::json::array()}};
    for (const auto& [scenario, audit] : audits) {
      nlohmann::json one = cues::audit_to_json(audit);
      one["scenario"] = scenario;
      for (const char* list : {"differences", "leaks", "contradictions"})
        for (nlohmann::json entry : one[list]) {
          entry["scenario"] = scenario;
          document[list].push_back(std::move(entry));
        }
      document["audits"].push_back(std::move(one));
    }
  }
  std::printf("%s\n", document.dump(2).c_str());
}

Result<int> run_audit(const AuditCommand& command) {
  GYGES_TRY(auto audits, Auditor(command).run());
  if (command.json) print_json(audits);
  bool found = false;
  std::optional<cues::Severity> limit = cues::severity_from_name(command.fail_on);
  for (const auto& [scenario, audit] : audits) {
    if (!command.json) {
      if (!scenario.empty()) std::printf("scenario   %s\n", printable(scenario).c_str());
      std::printf("%s", cues::audit_to_text(audit, command.all).c_str());
    }
    found = found || !audit.undeclared().empty() ||
            (limit && (audit.leaks_from(*limit) > 0 || audit.contradictions_from(*limit) > 0));
  }
  return found ? exit_found : 0;
}

}  // namespace

void add_cues_audit(CLI::App& parent, int& exit_status) {
  auto options = std::make_shared<AuditCommand>();
  CLI::App* command = parent.add_subcommand(
      "audit", "Compare conditions as seen from inside; list what gives the sandbox away");
  command->add_option("SUBJECT", options->subject,
                      "an experiment file, or a scenario (directory or name)");
  command->add_option("--condition", options->conditions,
                      "FACTOR=LEVEL[,FACTOR=LEVEL] of a scenario; several times (default: every "
                      "level of every factor against the default)");
  command->add_option("--policy", options->policies, "preset or file; several times to compare");
  command->add_option("--persona", options->personas, "name or manifest; several times to compare");
  command->add_option("--container", options->containers,
                      "command that starts somebody else's container, for example "
                      "'docker run -i --rm debian:12'; several times to compare");
  command->add_option("--reading", options->readings,
                      "file with the output of an extracted probe; several times to compare");
  command->add_option("--declare", options->declared,
                      "what may differ: channel:GLOB, file:/PATH, env:NAME, host:hostname, ...");
  command
      ->add_option("--claim", options->claim,
                   "what the machine claims to be (default: the persona's)")
      ->check(CLI::IsMember({"nothing", "container", "vm", "physical"}));
  command->add_option("--rounds", options->rounds, "readings of each condition")
      ->check(CLI::Range(1U, 100U))
      ->capture_default_str();
  command
      ->add_option(
          "--fail-on", options->fail_on,
          "exit with 1 from leaks and contradictions of this severity on; none: for undeclared "
          "differences alone")
      ->check(CLI::IsMember({"none", "low", "medium", "high", "critical"}))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "of the worlds");
  command->add_option("--recorder", options->recorder, recorder_help)
      ->check(CLI::IsMember({"auto", "ebpf", "ptrace", "off"}));
  add_degraded_option(*command, options->allow_degraded);
  command->add_flag("--all", options->all, "list leaks of low severity too");
  command->add_flag("--json", options->json, "machine-readable output");
  command->footer(
      "Exit status: 1 for an undeclared difference, and for a leak or contradiction from "
      "--fail-on on.\n\n"
      "Examples:\n"
      "  gyges cues audit log_retention --condition oversight=announced --condition "
      "oversight=unmentioned\n"
      "  gyges cues audit --persona vm-production\n"
      "  gyges cues audit --claim container --container 'docker run -i --rm debian:12'");
  command->callback([options, &exit_status] {
    auto status = run_audit(*options);
    exit_status = status ? *status : report(status.error());
  });
}

}  // namespace gyges::cli
