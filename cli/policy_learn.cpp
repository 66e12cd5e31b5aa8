// gyges policy learn: the smallest policy that would have admitted recorded runs.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/files.h"
#include "base/json.h"
#include "base/output_file.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/policy_commands.h"
#include "sandbox/learn/proposal.h"

namespace gyges::cli {
namespace {

using nlohmann::json;

struct LearnOptions {
  std::vector<std::string> runs;
  std::string base;
  std::string out;
  learn::ProposalOptions proposal;
  bool json = false;
};

Result<isolation::Policy> base_policy(const LearnOptions& options,
                                      const std::vector<learn::Observation>& runs) {
  if (!options.base.empty()) return isolation::load_policy(options.base);
  const std::string& name = runs.front().policy;
  for (const learn::Observation& run : runs)
    if (run.policy != name)
      return fail("propose policy", "",
                  "the runs had different policies: " + quoted(name) + " and " + quoted(run.policy),
                  "name the one to start from with --policy");
  for (const std::string& preset : isolation::preset_names())
    if (preset == name) return isolation::load_policy(name);
  return fail("propose policy", quoted(name), "the policy of the runs is no shipped preset",
              "name its file with --policy FILE");
}

void explain(const learn::Proposal& proposal) {
  std::fprintf(stderr, "limits, from what was seen:\n");
  for (const learn::LimitChoice& limit : proposal.limits)
    std::fprintf(stderr, "      %-14s seen %llu, proposed %llu (%s)\n", limit.limit.c_str(),
                 static_cast<unsigned long long>(limit.seen),
                 static_cast<unsigned long long>(limit.proposed), limit.rule.c_str());
  if (!proposal.left_out.empty()) std::fprintf(stderr, "left out:\n");
  for (const learn::LeftOut& entry : proposal.left_out)
    std::fprintf(stderr, "      %s %s: %s%s%s\n", entry.what.c_str(), printable(entry.name).c_str(),
                 entry.why.c_str(),
                 entry.cure.empty() ? "" : ". To have it: ", printable(entry.cure).c_str());
  if (!proposal.notes.empty()) std::fprintf(stderr, "notes:\n");
  for (const std::string& note : proposal.notes)
    std::fprintf(stderr, "      %s\n", printable(note).c_str());
}

json document(const learn::Proposal& proposal) {
  json limits = json::array();
  for (const learn::LimitChoice& limit : proposal.limits)
    limits.push_back({{"limit", limit.limit},
                      {"seen", limit.seen},
                      {"proposed", limit.proposed},
                      {"rule", limit.rule}});
  json left_out = json::array();
  for (const learn::LeftOut& entry : proposal.left_out)
    left_out.push_back({{"what", entry.what},
                        {"name", valid_utf8(entry.name)},
                        {"why", entry.why},
                        {"cure", valid_utf8(entry.cure)}});
  return {{"policy", isolation::policy_to_json(proposal.policy)},
          {"limits", limits},
          {"left_out", left_out},
          {"notes", proposal.notes}};
}

Status learn_policy(const LearnOptions& options) {
  std::vector<learn::Observation> runs;
  for (const std::string& run : options.runs) {
    auto observed = learn::observe_run(run).with_context("read run " + printable(run));
    if (!observed) return tl::unexpected<Error>(std::move(observed.error()));
    runs.push_back(std::move(*observed));
  }
  GYGES_TRY(isolation::Policy base, base_policy(options, runs));
  GYGES_TRY(learn::Proposal proposal, learn::propose_policy(runs, base, options.proposal));
  std::string policy = isolation::policy_to_json(proposal.policy).dump(2) + "\n";
  if (!options.out.empty()) GYGES_CHECK(write_output_file(options.out, policy));
  if (options.json) {
    std::printf("%s\n", document(proposal).dump(2).c_str());
    return ok();
  }
  explain(proposal);
  if (options.out.empty()) std::printf("%s", policy.c_str());
  return ok();
}

}  // namespace

void add_policy_learn(CLI::App& policy, int& exit_status) {
  auto options = std::make_shared<LearnOptions>();
  CLI::App* command = policy.add_subcommand(
      "learn", "Propose the smallest policy that would have admitted these runs");
  command->add_option("run", options->runs, "run bundles; what they did is united")->required();
  command->add_option("--policy", options->base,
                      "the policy that the runs had: a preset's name, or a path (default: the "
                      "preset that run.json names). Nothing outside it is proposed");
  command->add_option("--name", options->proposal.name, "name of the proposed policy")
      ->check(CLI::Validator(
          [](std::string& text) {
            return text.empty() || text.size() > 64 ? "a name has 1 to 64 characters" : "";
          },
          "NAME"))
      ->capture_default_str();
  command
      ->add_option("--grant", options->proposal.grants,
                   "a dangerous permission of the runs' policy to propose again; repeat it for "
                   "several")
      ->allow_extra_args(false);
  command->add_option("--out", options->out, "write the policy to this file");
  command->add_flag("--json", options->json,
                    "print policy, limits, what was left out and notes as one object");
  command->footer(
      "The policy goes to standard output, or to --out; what it is based on and what it leaves\n"
      "out, with the reasons, to standard error. Check records of others with gyges verify "
      "first.\n\n"
      "Examples:\n"
      "  gyges run --out runs/1 -- make test\n"
      "  gyges policy learn runs/1 --out make.json\n"
      "  gyges run --policy ./make.json -- make test");
  command->callback([options, &exit_status] {
    auto done = learn_policy(*options);
    if (!done) exit_status = report(done.error());
  });
}

}  // namespace gyges::cli
