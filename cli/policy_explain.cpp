// gyges policy explain: every step of the set-up and every system call's verdict, or the verdicts
// of named calls and why.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/policy_commands.h"
#include "sandbox/isolation/call_verdict.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/seccomp_filter.h"

namespace gyges::cli {
namespace {

using isolation::CallVerdict;
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
                                       explained.policy.capabilities)
                .with_context("policy " + printable(name)));
  return explained;
}

void print_wrapped(const std::vector<std::string>& words) {
  constexpr std::size_t width = 100;
  std::string line = "     ";
  for (const std::string& word : words) {
    if (line.size() + 1 + word.size() > width) {
      std::printf("%s\n", line.c_str());
      line = "     ";
    }
    line += " " + word;
  }
  if (!words.empty()) std::printf("%s\n", line.c_str());
}

// What a persona adds to the steps, as far as the policy lets it.
void print_looks(const isolation::Policy& policy) {
  const isolation::CueRules& cues = policy.cues;
  std::vector<std::string> shown, off;
  for (const auto& [name, on] : {std::pair{"proc_files", cues.proc_files},
                                 {"sysfs", cues.sysfs},
                                 {"sysfs_network", cues.sysfs_network},
                                 {"init_name", cues.init_name},
                                 {"pid_numbers", cues.pid_numbers},
                                 {"decoys", cues.decoys},
                                 {"container_marks", cues.container_marks},
                                 {"system_bus", cues.system_bus}})
    (on ? shown : off).emplace_back(name);
  std::printf("\nunder a persona that describes a machine:\n");
  if (!shown.empty()) std::printf("      shown: %s\n", join(shown, ", ").c_str());
  if (!off.empty()) std::printf("      switched off: %s\n", join(off, ", ").c_str());
  if (!cues.emulate.empty())
    std::printf("      calls that are answered: %s\n", printable(join(cues.emulate, ", ")).c_str());
  if (isolation::allows_system_bus(policy))
    std::printf("      a system bus at /run, where the persona's pid 1 is systemd\n");
  else
    std::printf("      no system bus%s\n",
                cues.system_bus ? ": /run is not the sandbox's own" : "");
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
  print_looks(explained.policy);
  std::printf("\nsystem calls that are not simply allowed:\n");
  std::vector<std::string> allowed;
  for (const isolation::SyscallVerdict& verdict : explained.filter.verdicts) {
    if (verdict.verdict == "allow") {
      allowed.push_back(verdict.name);
      continue;
    }
    std::printf("      %-24s %-26s %s\n", verdict.name.c_str(), verdict.verdict.c_str(),
                printable(verdict.why).c_str());
  }
  std::printf("      (unknown numbers answer ENOSYS; calls of a foreign ABI kill)\n");
  std::printf("\nsystem calls that are allowed, %zu:\n", allowed.size());
  print_wrapped(allowed);
  if (!explained.plan.warnings.empty()) std::printf("\nwarnings:\n");
  for (const std::string& warning : explained.plan.warnings)
    std::printf("      %s\n", printable(warning).c_str());
}

json verdict_json(const isolation::SyscallVerdict& verdict) {
  return {{"name", verdict.name},
          {"number", verdict.number},
          {"verdict", verdict.verdict},
          {"why", valid_utf8(verdict.why)},
          {"by", valid_utf8(verdict.by)},
          {"opened_by", verdict.opened_by},
          {"conditions", verdict.conditions}};
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
    syscalls.push_back(verdict_json(verdict));
  std::printf("%s\n", json{{"policy", isolation::policy_to_json(explained.policy)},
                           {"steps", steps},
                           {"writable", areas},
                           {"syscalls", syscalls},
                           {"warnings", explained.plan.warnings}}
                          .dump(2)
                          .c_str());
}

// "openat" or "socket(AF_VSOCK, 1, 0)"; the answer is exact where all arguments that count are
// given.
void print_call(const CallVerdict& call) {
  std::printf("%-32s %s\n", printable(call.text).c_str(), call.verdict.c_str());
  const isolation::SyscallVerdict& rule = call.rule;
  if (rule.verdict == "allow" && rule.by.empty()) std::printf("      no rule refuses it\n");
  if (!rule.why.empty() && rule.conditions.empty())
    std::printf("      why: %s\n", printable(rule.why).c_str());
  for (const std::string& condition : rule.conditions)
    std::printf("      condition: %s\n", printable(condition).c_str());
  if (!rule.by.empty()) std::printf("      by: %s\n", printable(rule.by).c_str());
  if (!rule.opened_by.empty())
    std::printf("      opened by: %s\n", printable(rule.opened_by).c_str());
}

Status explain_calls(const std::string& name, const std::vector<std::string>& calls, bool as_json) {
  GYGES_TRY(isolation::Policy policy, isolation::load_policy(name));
  GYGES_TRY(isolation::SeccompFilter filter,
            isolation::compile_seccomp(policy.seccomp, policy.grants, policy.capabilities)
                .with_context("policy " + printable(name)));
  json list = json::array();
  std::vector<CallVerdict> verdicts;
  for (const std::string& call : calls) {
    GYGES_TRY(CallVerdict verdict, isolation::verdict_of_call(filter, call));
    verdicts.push_back(std::move(verdict));
  }
  if (!as_json) {
    for (const CallVerdict& verdict : verdicts) print_call(verdict);
    return ok();
  }
  for (const CallVerdict& verdict : verdicts) {
    json row = verdict_json(verdict.rule);
    row["call"] = valid_utf8(verdict.text);
    row["answer"] = verdict.verdict;
    row["arguments"] = verdict.arguments;
    list.push_back(std::move(row));
  }
  std::printf("%s\n", json{{"policy", valid_utf8(policy.name)}, {"calls", list}}.dump(2).c_str());
  return ok();
}

// The first word may name a policy; all others are calls.
std::string take_policy(std::vector<std::string>& words) {
  if (words.empty()) return "default";
  std::string first = words.front();
  auto presets = isolation::preset_names();
  bool is_policy = std::find(presets.begin(), presets.end(), first) != presets.end() ||
                   first.find('/') != std::string::npos || first.ends_with(".json");
  // A word that is neither is a mistyped preset when it stands alone.
  if (!is_policy && words.size() == 1 && !isolation::is_call(first)) is_policy = true;
  if (!is_policy) return "default";
  words.erase(words.begin());
  return first;
}

}  // namespace

void add_policy_explain(CLI::App& policy, int& exit_status) {
  struct Options {
    std::vector<std::string> words;
    std::string as;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = policy.add_subcommand(
      "explain", "Print every step of the set-up and every system call's verdict");
  command->add_option("words", options->words,
                      "a preset's name or a path (default: default), then system calls, if only "
                      "their verdicts are wanted: openat, or 'socket(AF_VSOCK, 1, 0)'");
  command
      ->add_option("--as", options->as,
                   "plan for root or for an ordinary user (default: the caller)")
      ->check(CLI::IsMember({"root", "user"}));
  command->add_flag("--json", options->json, "machine-readable output");
  command->footer(
      "Arguments of a call are numbers or names of their flags; those left out count as 0.\n\n"
      "Examples:\n"
      "  gyges policy explain strict\n"
      "  gyges policy explain bpf clone3\n"
      "  gyges policy explain my.json 'socket(AF_NETLINK, SOCK_RAW, 0)'");
  command->callback([options, &exit_status] {
    std::vector<std::string> calls = options->words;
    std::string name = take_policy(calls);
    if (!calls.empty()) {
      auto done = explain_calls(name, calls, options->json);
      if (!done) exit_status = report(done.error());
      return;
    }
    auto explained = explain(name, options->as);
    if (!explained)
      exit_status = report(explained.error());
    else if (options->json)
      print_json(*explained);
    else
      print_text(*explained);
  });
}

}  // namespace gyges::cli
