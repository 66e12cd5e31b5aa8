#include "sandbox/learn/proposal.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/isolation/seccomp_filter.h"
#include "sandbox/isolation/seccomp_profile.h"
#include "sandbox/learn/host_files.h"
#include "sandbox/learn/mount_choice.h"

namespace gyges::learn {
namespace {

using isolation::Filesystem;
using isolation::Mount;
using isolation::Policy;

constexpr std::string_view profile = "listed";
constexpr std::size_t most_listed = 50;  // of paths in one list; a hostile run may have made many

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

struct FamilyName {
  int family;
  std::string_view name;
};
constexpr std::array families{FamilyName{AF_UNIX, "unix"}, FamilyName{AF_INET, "inet"},
                              FamilyName{AF_INET6, "inet6"}, FamilyName{AF_NETLINK, "netlink"}};

std::string family_name(int family) {
  for (const FamilyName& row : families)
    if (row.family == family) return std::string(row.name);
  return fmt::format("number {}", family);
}

bool shows_nothing_of_host(const Mount* mount) {
  return mount == nullptr || mount->kind == Mount::Kind::fresh;
}

class Proposer {
 public:
  Proposer(const std::vector<Observation>& runs, const Policy& base, const ProposalOptions& options)
      : runs_(runs), base_(base), options_(options) {}

  Result<Proposal> propose() {
    proposal_.policy = base_;
    proposal_.policy.name = options_.name;
    GYGES_CHECK(grants());
    filesystem();
    environment();
    GYGES_CHECK(system_calls());
    sockets();
    limits();
    for (const Observation& run : runs_)
      for (const std::string& gap : run.gaps) note(gap);
    // What is printed must be what gyges accepts.
    auto checked = isolation::policy_from_json(isolation::policy_to_json(proposal_.policy),
                                               "the proposed policy");
    if (!checked) return tl::unexpected<Error>(std::move(checked.error()));
    GYGES_CHECK(
        isolation::compile_seccomp(checked->seccomp, checked->grants, checked->capabilities));
    return std::move(proposal_);
  }

 private:
  void note(std::string words) {
    if (!contains(proposal_.notes, words)) proposal_.notes.push_back(std::move(words));
  }
  void leave_out(std::string what, std::string name, std::string why, std::string cure) {
    proposal_.left_out.push_back(
        {std::move(what), std::move(name), std::move(why), std::move(cure)});
  }

  Status grants() {
    Policy& policy = proposal_.policy;
    for (const std::string& grant : options_.grants)
      if (!contains(base_.grants, grant))
        return fail("propose policy", grant, "the runs did not have this grant",
                    "leave it out: what was not permitted was not used");
    policy.grants = options_.grants;
    for (const std::string& grant : base_.grants)
      if (!contains(options_.grants, grant))
        leave_out("grant", grant, "a dangerous permission is never proposed unasked",
                  "--grant " + grant);
    std::erase_if(policy.capabilities, [&](const std::string& capability) {
      return !contains(options_.grants, "capability:" + capability);
    });
    return ok();
  }

  void filesystem() {
    MountChoice choice = choose_mounts(runs_, base_, proposal_.policy);
    for (const std::string& path : choice.writable_host_mounts)
      leave_out("mount", path, "writes to the host: a private layer over it is proposed instead",
                "--grant writable_host_mount");
    list_paths(choice.unknown,
               "used, but neither this host nor the policy of the run has it: a "
               "persona, a scenario or another host did",
               "run with the same persona, or add a mount");
    std::vector<std::string> hidden;
    std::vector<std::string> refused;
    for (const Observation& run : runs_) {
      for (const std::string& path : run.absent)
        if (shows_nothing_of_host(choice.files.mount_of(path)) && !lies_in(path, "/proc") &&
            !lies_in(path, "/dev") && ::access(path.c_str(), F_OK) == 0)
          hidden.push_back(path);
      for (const auto& [path, code] : run.refused_paths)
        refused.push_back(fmt::format("{}: {}", path, ::strerrorname_np(code)));
    }
    list_paths(hidden, "looked for; the policy of the run does not show it", "add a mount");
    list_paths(refused, "refused by permission or because it is read-only",
               "make the place writable if it shall be");
    std::erase_if(proposal_.policy.filesystem.devices, [&](const std::string& device) {
      // Masked files read as it.
      if (device == "null" && !base_.filesystem.masked.empty()) return false;
      return std::none_of(runs_.begin(), runs_.end(), [&](const Observation& run) {
        return run.paths.count("/dev/" + device) > 0;
      });
    });
  }

  void list_paths(std::vector<std::string> paths, const char* why, const char* cure) {
    std::sort(paths.begin(), paths.end());
    paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
    for (std::size_t i = 0; i < paths.size() && i < most_listed; ++i)
      leave_out("path", valid_utf8(paths[i]), why, cure);
    if (paths.size() > most_listed)
      note(fmt::format("{} further paths: {}", paths.size() - most_listed, why));
  }

  void environment() {
    bool known = std::all_of(runs_.begin(), runs_.end(),
                             [](const Observation& run) { return run.environment_known; });
    note(
        "which variables of the environment a program reads is not visible in system calls: what "
        "the policy sets is kept, and of what it passes on the names that the runs were given");
    if (!known) {
      note("the record does not show the whole environment: all passed names are kept");
      return;
    }
    std::erase_if(proposal_.policy.environment_pass, [&](const std::string& name) {
      return std::none_of(runs_.begin(), runs_.end(),
                          [&](const Observation& run) { return run.environment.count(name) > 0; });
    });
  }

  Status system_calls() {
    GYGES_TRY(isolation::SeccompProfile listed, isolation::load_seccomp_profile(profile, {}));
    isolation::SeccompRules& rules = proposal_.policy.seccomp;
    rules.profile = std::string(profile);
    rules.allow.clear();
    std::set<std::string> calls;
    for (const Observation& run : runs_) calls.insert(run.calls.begin(), run.calls.end());
    for (const std::string& name : calls) {
      auto number = isolation::syscall_number(name);
      if (!number || *number < 0) continue;  // answered ENOSYS then, and again
      if (auto found = listed.refused.find(name); found != listed.refused.end()) {
        const std::string& grant = found->second.grant;
        if (grant.empty() || !contains(options_.grants, grant)) {
          leave_out("system call", name, "used, and dangerous: " + found->second.why,
                    grant.empty() ? "" : "--grant " + grant);
          continue;
        }
      }
      if (listed.allowed.count(name) > 0) continue;
      std::size_t before = rules.allow.size();
      for (const isolation::SyscallRule& rule : base_.seccomp.allow)
        if (rule.syscall == name && !rule.arguments.empty()) rules.allow.push_back(rule);
      if (rules.allow.size() == before) rules.allow.push_back({name, {}});
    }
    std::map<std::string, std::uint64_t> refused;
    for (const Observation& run : runs_)
      for (const auto& [name, count] : run.refused_calls) refused[name] += count;
    for (const auto& [name, count] : refused)
      leave_out("system call", printable(name),
                fmt::format("refused in the runs, {} times; it stays refused", count),
                "gyges policy explain " + base_.name + " " + printable(name));
    return ok();
  }

  void sockets() {
    std::vector<std::string>& list = proposal_.policy.seccomp.socket_families;
    std::erase_if(list, [&](const std::string& name) {
      return std::none_of(runs_.begin(), runs_.end(), [&](const Observation& run) {
        return std::any_of(run.socket_families.begin(), run.socket_families.end(), [&](int family) {
          return family_name(family) == name || (family == AF_NETLINK && name == "netlink_route");
        });
      });
    });
    std::set<int> refused;
    for (const Observation& run : runs_)
      refused.insert(run.refused_families.begin(), run.refused_families.end());
    for (int family : refused)
      leave_out("address family", family_name(family), "refused in the runs; it stays refused",
                "list it in seccomp.socket_families, if it can be had");
  }

  // `least` and `unit` keep a policy from failing on noise; never past the base's own limit.
  void limit(const char* name, std::uint64_t seen, std::uint64_t factor, std::uint64_t least,
             std::uint64_t unit, std::uint64_t& value) {
    constexpr std::uint64_t most = std::uint64_t{1} << 60U;  // a record may claim anything
    std::uint64_t wanted = std::max(seen < most / factor ? seen * factor : most, least);
    wanted = (wanted + unit - 1) / unit * unit;
    std::uint64_t proposed = value > 0 ? std::min(value, wanted) : wanted;
    proposal_.limits.push_back(
        {name, seen, proposed,
         fmt::format("{} x, at least {}{}", factor, least,
                     proposed < wanted ? ", not past the run's own limit" : "")});
    value = proposed;
  }

  void limits() {
    PeakUse peak;
    for (const Observation& run : runs_) {
      auto more = [](std::uint64_t& into, std::uint64_t value) { into = std::max(into, value); };
      more(peak.milliseconds, run.peak.milliseconds);
      more(peak.tasks, run.peak.tasks);
      more(peak.descriptors, run.peak.descriptors);
      more(peak.data, std::max(run.peak.data, run.peak.process_data));
      more(peak.largest_file, run.peak.largest_file);
      more(peak.written, run.peak.written);
      more(peak.files_made, run.peak.files_made);
      more(peak.output, run.peak.output);
    }
    constexpr std::uint64_t mib = 1U << 20U;
    constexpr std::uint64_t year = 31536000;
    isolation::Limits& into = proposal_.policy.limits;
    std::uint64_t seconds = std::min(peak.milliseconds / 1000 + 1, year / 10);
    limit("wall_seconds", seconds, 10, 60, 60, into.wall_seconds);
    limit("cpu_seconds", seconds, 10, 60, 60, into.cpu_seconds);
    // The cgroup, where there is one, counts what lies in the writable layers too.
    limit("memory_bytes", peak.data + peak.written, 2, 256 * mib, mib, into.memory_bytes);
    limit("processes", std::min<std::uint64_t>(peak.tasks, 1U << 20U), 2, 16, 1, into.processes);
    limit("open_files", std::min<std::uint64_t>(peak.descriptors, 1U << 18U), 2, 64, 1,
          into.open_files);
    limit("file_bytes", peak.largest_file, 4, 16 * mib, mib, into.file_bytes);
    limit("disk_bytes", peak.written, 4, 64 * mib, mib, into.disk_bytes);
    limit("inodes", peak.files_made, 4, 4096, 1, into.inodes);
    limit("output_bytes", peak.output, 4, mib, mib, into.output_bytes);
  }

  const std::vector<Observation>& runs_;
  const Policy& base_;
  const ProposalOptions& options_;
  Proposal proposal_;
};

}  // namespace

Result<Proposal> propose_policy(const std::vector<Observation>& runs, const Policy& base,
                                const ProposalOptions& options) {
  return Proposer(runs, base, options).propose();
}

}  // namespace gyges::learn
