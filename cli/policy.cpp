// gyges policy: validate policies; explain and learn are in files of their own.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/policy_commands.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/seccomp_filter.h"

namespace gyges::cli {
namespace {

void add_check(CLI::App& root, int& exit_status) {
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* command = root.add_subcommand("check", "Validate policy files");
  command->add_option("policy", *names, "preset names or paths")->required();
  command->footer(
      "Exit status: 0 when all are valid, 1 otherwise; every error names file, place and cure.\n\n"
      "Example:\n  gyges policy check my.json");
  command->callback([names, &exit_status] {
    for (const std::string& name : *names) {
      auto policy = isolation::load_policy(name);
      auto filter =
          policy ? isolation::compile_seccomp(policy->seccomp, policy->grants, policy->capabilities)
                 : Result<isolation::SeccompFilter>(tl::unexpected<Error>(policy.error()));
      if (policy && !filter) filter.error().context.push_back("policy " + printable(name));
      if (filter) {
        std::printf("%s: valid\n", printable(name).c_str());
        for (const std::string& grant : policy->grants)
          std::fprintf(stderr, "gyges: warning: %s states the dangerous grant %s\n",
                       printable(name).c_str(), printable(grant).c_str());
      } else {
        report(filter.error());
        exit_status = exit_found;
      }
    }
  });
}

}  // namespace

void add_policy(CLI::App& root, int& exit_status) {
  CLI::App* command =
      root.add_subcommand("policy", "Check policies, show what they come to, and propose them");
  command->require_subcommand(1);
  add_check(*command, exit_status);
  add_policy_explain(*command, exit_status);
  add_policy_learn(*command, exit_status);
}

}  // namespace gyges::cli
