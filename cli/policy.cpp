// gyges policy: validate a policy, and show what it comes to.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/seccomp_filter.h"

namespace gyges::cli {
namespace {

using nlohmann::json;

struct Explained {
  isolation::Policy policy;
  isolation::Plan plan;
  isolation::SeccompFilter filter;
};

Result<Explained> explain(const std::string& name, const std::string& as) {
  Explained explained;
  GYGES_TRY(explained.policy, isolation::load_policy(name));
  GYGES_TRY(isolation::HostFacts host, isolation::read_host_facts());
  if (!as.empty()) host.root = as == "root";
  GYGES_TRY(explained.plan, isolation::make_plan(explained.policy, host, {}));
  GYGES_TRY(explained.filter,
            isolation::compile_seccomp(explained.policy.seccomp, explained.policy.grants,
                                       explained.policy.capabilities));
  return explained;
}

void print_text(const Explained& explained) {
  std::printf("policy %s\n\nsteps, in order:\n", printable(explained.policy.name).c_str());
  int number = 0;
  for (const isolation::Step& step : explained.plan.steps)
    std::printf("%4d  %s\n", ++number, printable(step.words).c_str());
  std::printf("\nwritable inside, changes collected:\n");
  for (const isolation::WritableArea& area : explained.plan.areas)
    std::printf("      %s%s\n", printable(area.target).c_str(),
                area.host_source.empty()
                    ? ""
                    : (" over the host's " + printable(area.host_source)).c_str());
  std::printf("\nsystem calls that are not simply allowed:\n");
  int allowed = 0;
  for (const isolation::SyscallVerdict& verdict : explained.filter.verdicts) {
    if (verdict.verdict == "allow") {
      ++allowed;
      continue;
    }
    std::printf("      %-24s %-26s %s\n", verdict.name.c_str(), verdict.verdict.c_str(),
                printable(verdict.why).c_str());
  }
  std::printf(
      "      (%d others are allowed; unknown numbers answer ENOSYS; calls of a foreign ABI kill)\n",
      allowed);
  if (!explained.plan.warnings.empty()) std::printf("\nwarnings:\n");
  for (const std::string& warning : explained.plan.warnings)
    std::printf("      %s\n", printable(warning).c_str());
}

void print_json(const Explained& explained) {
  json steps = json::array();
  for (const isolation::Step& step : explained.plan.steps) steps.push_back(valid_utf8(step.words));
  json areas = json::array();
  for (const isolation::WritableArea& area : explained.plan.areas)
    areas.push_back(
        {{"target", valid_utf8(area.target)}, {"source", valid_utf8(area.host_source)}});
  json syscalls = json::array();
  for (const isolation::SyscallVerdict& verdict : explained.filter.verdicts)
    syscalls.push_back({{"name", verdict.name},
                        {"number", verdict.number},
                        {"verdict", verdict.verdict},
                        {"why", verdict.why}});
  std::printf("%s\n", json{{"policy", isolation::policy_to_json(explained.policy)},
                           {"steps", steps},
                           {"writable", areas},
                           {"syscalls", syscalls},
                           {"warnings", explained.plan.warnings}}
                          .dump(2)
                          .c_str());
}

void add_check(CLI::App& root, int& exit_status) {
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* command = root.add_subcommand("check", "Validate policy files");
  command->add_option("policy", *names, "preset names or paths")->required();
  command->footer(
      "Exit status: 0 when all are valid, 1 otherwise; every error names file, place and cure.");
  command->callback([names, &exit_status] {
    for (const std::string& name : *names) {
      auto policy = isolation::load_policy(name);
      auto filter = policy
                        ? isolation::compile_seccomp(policy->seccomp, policy->grants,
                                                     policy->capabilities)
                        : Result<isolation::SeccompFilter>(tl::unexpected<Error>(policy.error()));
      if (filter) {
        std::printf("%s: valid\n", printable(name).c_str());
      } else {
        report(filter.error());
        exit_status = exit_found;
      }
    }
  });
}

void add_explain(CLI::App& root, int& exit_status) {
  struct Options {
    std::string policy = "default";
    std::string as;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = root.add_subcommand(
      "explain", "Print every step of the set-up and every system call's verdict");
  command->add_option("policy", options->policy, "a preset's name, or a path")
      ->capture_default_str();
  command
      ->add_option("--as", options->as,
                   "plan for root or for an ordinary user (default: the caller)")
      ->check(CLI::IsMember({"root", "user"}));
  command->add_flag("--json", options->json, "machine-readable output");
  command->callback([options, &exit_status] {
    auto explained = explain(options->policy, options->as);
    if (!explained)
      exit_status = report(explained.error());
    else if (options->json)
      print_json(*explained);
    else
      print_text(*explained);
  });
}

}  // namespace

void add_policy(CLI::App& root, int& exit_status) {
  CLI::App* command = root.add_subcommand("policy", "Check policies and show what they come to");
  command->require_subcommand(1);
  add_check(*command, exit_status);
  add_explain(*command, exit_status);
}

}  // namespace gyges::cli
